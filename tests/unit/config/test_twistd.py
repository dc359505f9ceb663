import os
from pathlib import Path
from typing import Any

import pytest
from twisted.application.service import ServiceMaker
from twisted.python import usage
from twisted.python.reflect import namedAny

from glance import __version__
from glance.config.twistd import options_for
from tests.unit.config.conftest import WriteFile

Options = options_for("glance-api")


class Parent(usage.Options):
    """Stands for the options of twistd."""

    optFlags = [["nodaemon", "n", "stay"], ["syslog", None, "log to syslog"]]
    optParameters = [["logfile", "l", None, "file"], ["logger", None, None, "observer"]]
    subCommands = [["glance-api", None, Options, "Serve images."]]

    def postOptions(self) -> None:
        if self["logger"] is not None:
            self["logger"] = namedAny(self["logger"])


def below_twistd(*argv: str) -> tuple[Parent, Any]:
    """Parse a command line of twistd; return its options and ours."""
    parent = Parent()
    parent.parseOptions(argv)
    return parent, parent.subOptions  # type: ignore[attr-defined]


def test_loads_as_the_program_does(write: WriteFile) -> None:
    path = write("[DEFAULT]\nbacklog = 5\n")
    options = Options()
    options.parseOptions(["--config-file", path, "--debug"])
    assert options.loaded.program == "glance-api"
    assert options.loaded.conf.backlog == 5
    assert options.loaded.conf.debug
    assert options.arguments == ["--config-file", path, "--debug"]


@pytest.mark.parametrize(
    ("argv", "code"), [("--help", 0), ("--version", 0), ("--bogus", 2), ("--bind-port=x", 1)]
)
def test_ends_as_the_program_does(argv: str, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        Options().parseOptions([argv])
    assert caught.value.code == code
    out, err = capsys.readouterr()
    expected = {
        "--help": (out, "usage: glance-api [options]"),
        "--version": (out, f"{__version__}\n"),
        "--bogus": (err, "usage: glance-api [options]\nglance-api: error: unrecognized"),
        "--bind-port=x": (err, "ERROR: [DEFAULT]bind_port (--bind-port) is 'x'"),
    }
    text, begin = expected[argv]
    assert text.startswith(begin)


def test_texts_for_messages_of_twistd() -> None:
    options = Options()
    assert options.getSynopsis() == "usage: glance-api [options]"
    assert "--bind-host" in options.getUsage()
    assert "--bind-host" in str(options)
    assert "Serve images." in Parent().getUsage()


def test_fits_a_service_maker() -> None:
    maker = ServiceMaker("x", f"{__name__}", "x", "glance-api")
    assert maker.options is Options


class TestLog:
    """The log options of twistd count where ours are not used."""

    def test_daemon_logs_to_the_file_of_twistd(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        parent, options = below_twistd("glance-api")
        assert options.loaded.conf.log_file == f"{tmp_path}/twistd.log"
        assert options.arguments == [f"--log-file={tmp_path}/twistd.log"]
        assert parent["logger"]()({"log_format": "nothing comes of it"}) is None

    def test_named_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "a$b").mkdir()
        monkeypatch.chdir(tmp_path / "a$b")
        options = below_twistd("--logfile=x.log", "glance-api")[1]
        assert options.loaded.conf.log_file == os.path.abspath("x.log")

    @pytest.mark.parametrize("argv", [["-n"], ["-n", "--logfile=-"]])
    def test_foreground_logs_to_stderr(self, argv: list[str]) -> None:
        options = below_twistd(*argv, "glance-api")[1]
        assert options.loaded.conf.use_stderr
        assert options.loaded.conf.log_file is None

    def test_syslog(self) -> None:
        options = below_twistd("-n", "--syslog", "glance-api")[1]
        assert options.loaded.conf.use_syslog
        assert not options.loaded.conf.use_stderr
        assert options.arguments == ["--use-syslog"]

    def test_our_options_win(self) -> None:
        parent, options = below_twistd("--logfile=x.log", "glance-api", "--log-file=/y")
        assert options.loaded.conf.log_file == "/y"
        assert parent["logger"] is not None

    def test_a_chosen_observer_stays(self) -> None:
        name = "twisted.logger.jsonFileLogObserver"
        parent, options = below_twistd(f"--logger={name}", "glance-api")
        assert parent["logger"] is namedAny(name)
        assert options.loaded.conf.log_file is None
