import argparse

import pytest

from glance import __version__
from glance.config import load
from glance.config.cli import parse
from glance.config.programs import PROGRAMS
from tests.unit.config.conftest import LoadApi, WriteFile


def ended(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int | str | None, str, str]:
    """Return exit code, standard output and standard error of a program that ends at once."""
    with pytest.raises(SystemExit) as caught:
        load("glance-api", argv)
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def test_version_is_printed_bare(capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, "--version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(capsys: pytest.CaptureFixture[str], flag: str) -> None:
    code, out, err = ended(capsys, flag)
    assert (code, err) == (0, "")
    assert out.startswith("usage: glance-api [options]\n")
    for option in ("--config-dir DIR", "--bind-port PORT", "--nodebug", "--log-config", "--logdir"):
        assert option in out


@pytest.mark.parametrize("argv", [["--bogus"], ["extra"], ["--config-file"], ["--debug=1"]])
def test_usage_error(capsys: pytest.CaptureFixture[str], argv: list[str]) -> None:
    code, out, err = ended(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("usage: glance-api [options]\nglance-api: error: ")


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(
    ("argv", "values"),
    [
        (["-v"], {"verbose": True}),
        (["--verbose", "--noverbose"], {"verbose": False}),
        (["-d"], {"debug": True}),
        (["--debug", "--nodebug"], {"debug": False}),
        (["--use-syslog"], {"use_syslog": True}),
        (["--nouse-syslog"], {"use_syslog": False}),
        (["--syslog-log-facility", "LOG_MAIL"], {"syslog_log_facility": "LOG_MAIL"}),
        (["--use-journal"], {"use_journal": True}),
        (["--nouse-journal"], {"use_journal": False}),
        (["--use-json"], {"use_json": True}),
        (["--nouse-json"], {"use_json": False}),
        (["--log-config-append", "x"], {"log_config_append": "x"}),
        (["--log-config", "x"], {"log_config_append": "x"}),
        (["--log-format", "%(message)s"], {"log_format": "%(message)s"}),
        (["--log-date-format=%H"], {"log_date_format": "%H"}),
        (["--log-file", "x"], {"log_file": "x"}),
        (["--logfile", "x"], {"log_file": "x"}),
        (["--log-dir", "x"], {"log_dir": "x"}),
        (["--logdir", "x"], {"log_dir": "x"}),
        (["--watch-log-file"], {"watch_log_file": True}),
        (["--state-dir", "x"], {"state_dir": "x"}),
    ],
)
def test_general_options_of_every_program(
    program: str, argv: list[str], values: dict[str, object]
) -> None:
    assert parse(PROGRAMS[program], argv).values == values


def test_options_of_the_server(api: LoadApi) -> None:
    conf = api(
        "--bind-host=0.0.0.0", "--bind-port=80", "--workers=2", "--allow-remote-without-auth"
    ).conf
    assert (conf.bind_host, conf.bind_port, conf.workers) == ("0.0.0.0", 80, 2)
    assert conf.allow_remote_without_auth


def commands(parser: argparse.ArgumentParser, general: argparse.ArgumentParser) -> None:
    """Add a sub-command, as a program would."""
    sub = parser.add_subparsers(dest="command", required=True).add_parser("do", parents=[general])
    sub.add_argument("what")
    sub.add_argument("--version", dest="revision")


@pytest.mark.parametrize(
    "argv",
    [
        ["--config-file", "{one}", "--debug", "do", "it", "--config-file", "{two}"],
        ["do", "--config-file", "{one}", "--config-file", "{two}", "it", "-d"],
        ["--config-file", "{one}", "--config-file", "{two}", "-d", "do", "it"],
    ],
)
def test_general_options_stand_before_and_behind_a_sub_command(
    write: WriteFile, argv: list[str]
) -> None:
    names = {
        "one": write("[database]\nmax_retries = 1\nretry_interval = 3\n", "1.conf"),
        "two": write("[database]\nmax_retries = 2\n", "2.conf"),
    }
    loaded = load("glance-manage", [arg.format(**names) for arg in argv], extra_cli=commands)
    database = loaded.conf.database
    assert (database.max_retries, database.retry_interval) == (2, 3)
    assert loaded.conf.debug
    assert (loaded.arguments.command, loaded.arguments.what) == ("do", "it")


def test_sub_command_may_have_a_version_option_of_its_own(write: WriteFile) -> None:
    argv = ["--config-file", write(), "do", "it", "--version", "7"]
    assert load("glance-manage", argv, extra_cli=commands).arguments.revision == "7"


def test_usage_of_a_sub_command_is_brief(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load("glance-manage", ["do"], extra_cli=commands)
    assert capsys.readouterr().err.startswith("usage: glance-manage do [options] what\n")
