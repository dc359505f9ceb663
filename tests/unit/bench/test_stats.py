"""The measuring tool's arithmetic: a wrong median would be believed for a long time."""

import pytest

from bench import options, stats
from bench.report import MACHINE, Report
from bench.wire import unchunk


def test_target_is_read() -> None:
    assert stats.parse_target("a=http://127.0.0.1:9292") == ("a", "127.0.0.1", 9292)
    assert stats.parse_target("b=http://localhost:1/") == ("b", "localhost", 1)
    assert stats.parse_target("c=http://127.0.0.53:80").host == "127.0.0.53"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:9292",
        "=http://127.0.0.1:9292",
        "a=",
        "a=http://127.0.0.1",
        "a=https://127.0.0.1:9292",
        "a=http://127.0.0.1:9292/v2",
        "a=http://127.0.0.1:0",
        "a=http://127.0.0.1:65536",
        "a=http://192.0.2.1:9292",
        "a=http://127.0.0.1.example.org:80",
        "a=http://example.org:80",
    ],
)
def test_other_targets_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        stats.parse_target(text)


def test_names_are_told_apart() -> None:
    with pytest.raises(ValueError, match="two targets"):
        stats.parse_targets(["a=http://127.0.0.1:1", "a=http://127.0.0.1:2"])


def test_value_may_hold_the_separator() -> None:
    assert stats.pair("a=b=c") == ("a", "b=c")


def test_order_turns() -> None:
    assert [stats.turned("abc", turn) for turn in (0, 1, 2, 3)] == [
        ["a", "b", "c"],
        ["b", "c", "a"],
        ["c", "a", "b"],
        ["a", "b", "c"],
    ]
    assert stats.turned([], 5) == []


def test_quantile_is_the_nearest_rank() -> None:
    values = [float(v) for v in range(1, 101)]
    assert stats.quantile(values, 0.5) == 50
    assert stats.quantile(values, 0.99) == 99
    assert stats.quantile(values, 1) == 100
    assert stats.quantile([7.0], 0.01) == 7
    assert stats.quantile([1.0, 2.0, 3.0], 0.5) == 2
    assert stats.quantile([], 0.5) is None


def test_medians_and_ratios() -> None:
    results = {
        "show": {
            "a": [{"rps": 10.0, "bad": {}}, {"rps": 30.0}, {"rps": 20.0}],
            "b": [{"rps": 50.0}, {"rps": None}, {"rps": 30.0}],
        }
    }
    row = stats.spreads(results, ["a", "b"])["show"]["rps"]
    assert row["a"] == stats.Spread(20, 10, 30, 1)
    assert row["b"] == stats.Spread(40, 30, 50, 2)


def test_without_the_first_target_there_is_no_ratio() -> None:
    row = stats.spreads({"x": {"b": [{"run_s": 3}]}}, ["a", "b"])["x"]["run_s"]
    assert row == {"b": stats.Spread(3, 3, 3, None)}
    zero = stats.spreads({"x": {"a": [{"v": 0}], "b": [{"v": 1}]}}, ["a", "b"])["x"]["v"]
    assert zero["b"].ratio is None


def test_failures_add_up_over_the_rounds() -> None:
    runs: list[stats.Figures] = [
        {"bad": {"500": 2, "timeout": 1}},
        {"bad": {"500": 3}, "errors": ["WireError: x"]},
        {"rps": 1.0, "bad": {}, "errors": []},
    ]
    assert stats.failures(runs) == {"500": 5, "timeout": 1, "WireError: x": 1}


def test_figures_are_short() -> None:
    assert [stats.number(v) for v in (0.012345, 1.5, 999.4, 12345.6)] == [
        "0.0123",
        "1.5",
        "999",
        "12346",
    ]
    assert stats.cell(stats.Spread(2, 1, 3.456, None)) == "2 (1..3.46)"


def test_report_tells_ratio_share_and_failures() -> None:
    report = Report(["a", "b"])
    report.record("show c=1", "a", {"rps": 100.0}, bound="bare c=1")
    report.record("show c=1", "b", {"rps": 250.0, "bad": {"500": 4}}, bound="bare c=1")
    report.record("bare c=1", MACHINE, {"rps": 1000.0})
    text = report.tables()
    assert "2.5x" in text
    assert "a 10 %  b 25 %  of bare c=1" in text
    assert "b failed: {'500': 4}" in text
    assert report.failed


def test_report_without_failures_has_not_failed() -> None:
    report = Report(["a"])
    report.record("show c=1", "a", {"rps": 100.0, "bad": {}, "errors": []})
    assert not report.failed


def test_chunked_body_is_taken_only_whole() -> None:
    whole = b"4;x=y\r\nabcd\r\nA\r\n0123456789\r\n0\r\n\r\n"
    assert unchunk(whole) == b"abcd0123456789"
    assert [unchunk(whole[:at]) for at in range(len(whole))] == [None] * len(whole)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["a=http://127.0.0.1:1", "--cases", "metadata,all"],
        ["a=http://127.0.0.1:1", "--rounds", "0"],
        ["a=http://127.0.0.1:1", "--sizes", "0,10"],
        ["a=http://127.0.0.1:1", "--seconds", "0"],
    ],
)
def test_senseless_options_are_refused(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        options.parse(argv)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_sizes_are_measured_upwards() -> None:
    assert options.parse(["--limits", "--sizes", "100000,1000"]).sizes == [1000, 100000]
