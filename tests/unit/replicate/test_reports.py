"""What the replicator prints at its end."""

from __future__ import annotations

import json

from glance.replicate import reports
from glance.replicate.outcome import Comparison, Deed, Outcome, Size, Summary, Unlike
from glance.replicate.record import ImageRecord


def summary(*outcomes: Outcome, **details) -> Summary:
    made = Summary("a:1", "b:2", **details)
    for one in outcomes:
        made.add(one)
    return made


class TestRun:
    def test_all_done(self):
        made = summary(
            Outcome("1", Deed.COPIED, size=1024**2),
            Outcome("2", Deed.COPIED, size=1024**2),
            Outcome("3", Deed.SAME),
            seconds=2.0,
        )
        assert reports.summary_text(made) == (
            "a:1 to b:2: 2 copied, 1 the same; 2.0 MiB in 2.0 s (1.0 MiB/s)."
        )
        assert reports.summary_remarks(made) + reports.summary_failures(made) == []

    def test_nothing_there(self):
        assert reports.summary_text(summary()) == "a:1 to b:2: no images."

    def test_what_was_not_as_it_should_be(self):
        made = summary(
            Outcome("4", Deed.FAILED, "no room", name="four"),
            Outcome("3", Deed.CONFLICT, "the data differs"),
            Outcome("2", Deed.SKIPPED, "it is queued"),
            Outcome("1", Deed.COPIED, notes=("the owner was not kept",)),
            Outcome("0", Deed.SAME),
            untried=7,
            lost="b:2 is away",
            interrupted=True,
        )
        made.notes.append("more")
        assert reports.summary_text(made) == (
            "a:1 to b:2: 1 copied, 1 the same, 1 skipped, 1 conflict, 1 failed, 7 not finished."
        )
        assert reports.summary_remarks(made) == [
            "2: skipped; it is queued",
            "1: copied; the owner was not kept",
            "more",
        ]
        assert reports.summary_failures(made) == [
            "3: conflict; the data differs",
            "four (4): failed; no room",
            "Given up: b:2 is away",
            "Interrupted; the next run goes on where this one ended.",
        ]

    def test_nothing_was_done(self):
        made = summary(lost="b:2 is away")
        assert reports.summary_text(made) == "Nothing was done: b:2 is away"
        assert reports.summary_remarks(made) + reports.summary_failures(made) == []

    def test_many_skipped_for_one_reason_are_one_line(self):
        made = summary(*(Outcome(str(n), Deed.SKIPPED, "it is queued") for n in range(11)))
        assert reports.summary_remarks(made) == ["11 images skipped for one reason: it is queued"]

    def test_dry_run(self):
        made = summary(Outcome("1", Deed.COPIED), Outcome("2", Deed.DELETED), dry_run=True)
        assert "1 would be copied, 1 would be deleted" in reports.summary_text(made)
        assert reports.summary_remarks(made) == ["2: would be deleted"]
        assert reports.summary_remarks(made, said=True) == []

    def test_what_a_dry_run_would_copy_takes_no_time(self):
        made = summary(Outcome("1", Deed.COPIED, size=1024), dry_run=True, seconds=0.1)
        assert reports.summary_text(made) == "a:1 to b:2: 1 would be copied; 1.0 KiB to copy."

    def test_json(self):
        made = summary(Outcome("4", Deed.FAILED, "no room", name="four"), seconds=1.23456)
        text = reports.summary_json(made)
        assert "\n" not in text
        found = json.loads(text)
        assert found["counts"]["failed"] == 1
        assert found["counts"]["copied"] == 0
        assert (found["exit_code"], found["seconds"], found["given_up"]) == (1, 1.235, None)
        assert found["images"] == [
            {
                "id": "4",
                "name": "four",
                "done": "failed",
                "reason": "no room",
                "notes": [],
                "bytes": 0,
            }
        ]


COMPARISON = Comparison(
    "a:1",
    "b:2",
    same=3,
    unlike=[
        Unlike(
            "1",
            "one",
            (
                ("min_disk", 1, 2),
                ("os", None, "x" * 50),
                ("tags", frozenset({"b", "a"}), frozenset()),
                ("members", {"p": "accepted"}, None),
                ("note", "two\nlines", ""),
            ),
        )
    ],
    missing=[ImageRecord("2", "active", size=2048, fields={"name": "two"})],
    extra=[ImageRecord("3", "queued")],
    skipped=1,
)


class TestComparison:
    def test_table(self):
        assert reports.comparison_text(COMPARISON) == (
            "+----+------+----------+-------------------+"
            "------------------------------------------+\n"
            "| ID | Name | Field    | Source            |"
            " Target                                   |\n"
            "+----+------+----------+-------------------+"
            "------------------------------------------+\n"
            "| 1  | one  | min_disk | 1                 |"
            " 2                                        |\n"
            "|    |      | os       | undefined         |"
            f" {'x' * 39}… |\n"
            '|    |      | tags     | ["a", "b"]        |'
            " []                                       |\n"
            '|    |      | members  | {"p": "accepted"} |'
            " undefined                                |\n"
            "|    |      | note     | two lines         |"
            "                                          |\n"
            "| 2  | two  |          | 2.0 KiB           |"
            " missing                                  |\n"
            "| 3  |      |          | missing           |"
            " queued                                   |\n"
            "+----+------+----------+-------------------+"
            "------------------------------------------+\n"
            "a:1 and b:2: 3 the same, 1 different, 1 missing from the target, "
            "1 on the target only, 1 of the source not active and left out."
        )

    def test_the_same(self):
        assert reports.comparison_text(Comparison("a:1", "b:2", same=2000)) == (
            "a:1 and b:2: 2,000 the same."
        )

    def test_warnings(self):
        lines = reports.comparison_warnings(COMPARISON)
        assert lines[0] == "one (1): min_disk differs: 1 on the source, 2 on the target"
        assert lines[1].startswith("one (1): os differs: undefined on the source, xxx")
        assert lines[-1] == "two (2): missing"

    def test_json(self):
        found = json.loads(reports.comparison_json(COMPARISON))
        (unlike,) = found["different"]
        assert unlike["fields"]["tags"] == {"source": ["a", "b"], "target": []}
        assert unlike["fields"]["os"] == {"source": None, "target": "x" * 50}
        assert unlike["fields"]["members"]["source"] == {"p": "accepted"}
        assert found["missing"] == [{"id": "2", "name": "two", "status": "active", "size": 2048}]
        assert (found["is_same"], found["same"], found["skipped"]) == (False, 3, 1)
        assert json.loads(reports.comparison_json(Comparison("a", "b")))["is_same"] is True


class TestSize:
    def test_table(self):
        assert reports.size_text(Size("a:1", images=1234, size=3 * 1024**3, skipped=2)) == (
            "+------------+--------+---------+\n"
            "| Status     | Images |    Data |\n"
            "+------------+--------+---------+\n"
            "| active     |  1,234 | 3.0 GiB |\n"
            "| not active |      2 |         |\n"
            "+------------+--------+---------+\n"
            "Total size is 3221225472 bytes (3.0 GB) across 1234 images"
        )

    def test_json(self):
        assert json.loads(reports.size_json(Size("a:1", 1, 2, 3))) == {
            "source": "a:1",
            "images": 1,
            "bytes": 2,
            "skipped": 3,
        }
