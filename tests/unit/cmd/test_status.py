"""``glance-status`` in the test's own process: what it prints, and how it ends."""

import json
import sys

import pytest

from glance.checks.results import Level, Outcome
from glance.cmd import status

LONG = "This is wrong and goes on for more than sixty characters in one line. Mend it."


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["glance-status", *words])
        with pytest.raises(SystemExit) as caught:
            status.main()
        return caught.value.code, capsys.readouterr().out

    return run


def outcome(level=Level.SUCCESS, details=None):
    return Outcome("Some Check", level, details)


class TestReport:
    @pytest.mark.parametrize(
        ("levels", "code"), [([], 0), ([0, 0], 0), ([0, 1], 1), ([2, 1], 2), ([0, 2, 0], 2)]
    )
    def test_code(self, levels, code, capsys):
        assert status.report([outcome(Level(level)) for level in levels], False) == code
        assert status.report([outcome(Level(level)) for level in levels], True) == code

    def test_table(self, capsys):
        status.report([outcome(), outcome(Level.FAILURE, LONG)], False)
        assert capsys.readouterr().out.splitlines() == [
            "+----------------------------------------------------------------------+",
            "| Upgrade Check Results                                                |",
            "+----------------------------------------------------------------------+",
            "| Check: Some Check                                                    |",
            "| Result: Success                                                      |",
            "| Details: None                                                        |",
            "+----------------------------------------------------------------------+",
            "| Check: Some Check                                                    |",
            "| Result: Failure                                                      |",
            "| Details: This is wrong and goes on for more than sixty characters in |",
            "|   one line. Mend it.                                                 |",
            "+----------------------------------------------------------------------+",
        ]

    def test_json(self, capsys):
        status.report([outcome(), outcome(Level.WARNING, "a.\nb.")], True)
        assert json.loads(capsys.readouterr().out) == {
            "name": "Upgrade Check Results",
            "checks": [
                {"check": "Some Check", "result": 0, "details": None},
                {"check": "Some Check", "result": 1, "details": "a.\nb."},
            ],
        }


class TestCommandLine:
    def test_categories(self, run):
        expected = ["glance-status category action [<args>]", "Available categories:", "\tupgrade"]
        code, out = run()
        assert (code, out.splitlines()) == (2, expected)

    def test_actions(self, run):
        code, out = run("upgrade")
        assert code == 2
        assert out.splitlines()[1:] == ["Available actions:", "\tcheck"]

    @pytest.mark.parametrize(
        "words",
        [
            ["downgrade"],
            ["upgrade", "chek"],
            ["upgrade", "check", "--nothing"],
            ["upgrade", "check", "--timeout", "0"],
            ["upgrade", "check", "--timeout", "nan"],
            ["upgrade", "check", "--timeout", "x"],
        ],
    )
    def test_wrong_usage(self, run, words):
        assert run(*words)[0] == 2

    @pytest.mark.parametrize(
        "words",
        [["upgrade", "check", "--json"], ["upgrade", "--json", "check"]],
    )
    def test_json(self, run, words):
        code, out = run(*words)
        assert code == 0
        checks = json.loads(out)["checks"]
        assert [check["check"] for check in checks][:3] == [
            "Sheepdog Driver Removal",
            "Policy File JSON to YAML Migration",
            "Config option owner_is_tenant removal",
        ]
        assert len(checks) == len(status.all_checks())

    def test_what_is_needed_is_there_and_comes_before(self):
        seen = set()
        for check in status.all_checks():
            assert not check.needs or check.needs in seen
            seen.add(check.name)


class TestTrouble:
    def test_configuration_that_cannot_be_read(self, run, tmp_path):
        (tmp_path / "x.conf").write_text("[DEFAULT]\nworkers = many\n")
        code, out = run("upgrade", "check", "--json", "--config-file", str(tmp_path / "x.conf"))
        assert code == 2
        (check,) = json.loads(out)["checks"]
        assert check["check"] == "Configuration Files"
        assert "x.conf line 2" in check["details"]

    def test_a_program_that_breaks(self, run, monkeypatch):
        def broken(*args, **kwargs):
            raise RuntimeError("mysql://glance:geheim@host/x")

        monkeypatch.setattr(status, "report", broken)
        code, out = run("upgrade", "check")
        assert code == 255
        assert out.startswith("Error:\nTraceback")
        assert "geheim" not in out

    def test_a_check_that_hangs(self, run, monkeypatch):
        ended = []
        monkeypatch.setattr("glance.checks.running.hangs", lambda: True)
        monkeypatch.setattr("os._exit", ended.append)
        run("upgrade", "check")
        assert ended == [0]
