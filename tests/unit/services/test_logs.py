import fcntl
import io
import json
import logging
import os
import re
import socket
import sys
import time
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import (
    LogBeginner,
    Logger,
    LoggingFile,
    LogLevel,
    LogPublisher,
    textFileLogObserver,
)
from twisted.python.failure import Failure

from glance.config import load
from glance.domain import correlation
from glance.domain.correlation import Correlation, working_on
from glance.domain.errors import ConfigError
from glance.services import logtargets
from glance.services.logs import RateLimit, start_logging

REQUEST = Correlation("req-1", "req-0", user="usr", project="prj")


class Process:
    """The logging of a process, away from that of pytest's."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.publisher = LogPublisher()
        self.beginner = LogBeginner(self.publisher, io.StringIO(), sys, warnings)
        self.path = state / "log"
        self._started: list[Any] = []

    def start(self, *argv: str, under_twistd: bool = False, file: bool = True, **env: str) -> None:
        """Start logging as a program with this command line would."""
        root = logging.getLogger()
        # Those of pytest format what they get before anything of ours has seen it.
        root.handlers = [h for h in root.handlers if not type(h).__module__.startswith("_pytest")]
        self._started.append(
            start_logging(
                self.conf(*argv, *([f"--log-file={self.path}"] if file else []), **env),
                "glance-api",
                under_twistd=under_twistd,
                beginner=self.beginner,
                publisher=self.publisher,
            )
        )

    def conf(self, *argv: str, **env: str) -> Any:
        """Load the options of a command line."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in env.items():
                patch.setenv(f"OS_DEFAULT__{name.upper()}", value)
            arguments = ["--state-dir", str(self.state), *argv]
            return load("glance-api", arguments, directories=[]).conf

    def change(self, *argv: str, **env: str) -> None:
        """Do as another command line says, as at a reload."""
        self._started[-1].change(self.conf(*argv, **env))

    def logger(self, namespace: str = "glance.x") -> Logger:
        """Return a logger as our modules have it."""
        return Logger(namespace=namespace, observer=self.publisher)

    def lines(self) -> list[str]:
        """Return the lines of the log file."""
        return self.path.read_text().splitlines()

    def stop(self) -> None:
        while self._started:
            self._started.pop().stop()


@pytest.fixture
def process(tmp_path: Path) -> Iterator[Process]:
    showwarning = warnings.showwarning
    process = Process(tmp_path)
    yield process
    process.stop()
    warnings.showwarning = showwarning
    assert [h for h in logging.getLogger().handlers if "_pytest" not in type(h).__module__] == []


class TestChange:
    """What a reload brings."""

    def test_level_and_file(self, process: Process) -> None:
        process.start("--debug", default_log_levels="loud=ERROR")
        process.logger().debug("one")
        other = process.path.with_name("other")
        process.change(f"--log-file={other}")
        process.logger().debug("two")
        process.logger().warn("three")
        logging.getLogger("loud").info("four")
        assert "one" in process.path.read_text()
        assert "three" not in process.path.read_text()
        assert "two" not in other.read_text()
        assert [line.rstrip()[-5:] for line in other.read_text().splitlines()] == ["three"]
        process.change("--debug", f"--log-file={process.path}")
        process.logger().debug("five")
        assert "five" in process.lines()[-1]
        assert len(other.read_text().splitlines()) == 1

    @pytest.mark.parametrize("env", [{"log_format": "%(nothing)s"}, {"log_dir": "/dev/null"}])
    def test_what_cannot_be_followed(self, process: Process, env: dict[str, str]) -> None:
        process.start("--debug")
        with pytest.raises(ConfigError):
            process.change("--log-file=x", **env)
        process.logger().debug("still here")
        (line,) = process.lines()
        assert "still here" in line


class TestLevels:
    @pytest.mark.parametrize(
        ("argv", "expected"),
        [
            ([], ["warn", "error", "critical"]),
            (["--verbose"], ["info", "warn", "error", "critical"]),
            (["--debug"], ["debug", "info", "warn", "error", "critical"]),
            (["--debug", "--verbose"], ["debug", "info", "warn", "error", "critical"]),
        ],
    )
    def test_of_both_kinds_of_logger(
        self, process: Process, argv: list[str], expected: list[str]
    ) -> None:
        process.start(*argv)
        names = [level.name for level in LogLevel.iterconstants()]
        for name in names:
            process.logger().emit(LogLevel.lookupByName(name), "ours {n}", n=name)
            logging.getLogger("lib").log(logging.getLevelName(name.upper()), "theirs %s", name)
        text = process.path.read_text()
        for kind in ("ours", "theirs"):
            assert [name for name in names if f"{kind} {name}" in text] == expected

    def test_of_single_loggers(self, process: Process) -> None:
        process.start("--debug", default_log_levels="loud=ERROR, glance.quiet=WARN")
        logging.getLogger("loud.sub").warning("not this")
        process.logger("glance.quiet").info("nor this")
        process.logger("glance.other").info("but this")
        assert len(process.lines()) == 1

    def test_nothing_is_formatted_for_a_suppressed_level(self, process: Process) -> None:
        process.start()

        class Unwanted:
            def __str__(self) -> str:
                raise AssertionError("formatted")

            __repr__ = __format__ = __str__  # type: ignore[assignment]

        process.logger().debug("{x} {y()}", x=Unwanted(), y=Unwanted())
        process.logger().info("{x}", x=Unwanted())
        logging.getLogger("lib").debug("%s", Unwanted())
        assert process.lines() == []


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"


class TestFormats:
    def test_line_without_a_request(self, process: Process) -> None:
        process.start()
        process.logger().warn("Hello {name}", name="you")
        (line,) = process.lines()
        pattern = rf"{STAMP} {os.getpid()} WARNING glance\.x \[-\] Hello you"
        assert re.fullmatch(pattern, line)

    def test_line_of_a_request(self, process: Process) -> None:
        process.start()
        with working_on(REQUEST):
            process.logger().warn("ours")
            logging.getLogger("lib").warning("theirs")
        ours, theirs = process.lines()
        assert ours.endswith("WARNING glance.x [req-0 req-1 usr prj - - - -] ours")
        assert theirs.endswith("WARNING lib [req-0 req-1 usr prj - - - -] theirs")

    def test_debug_suffix_names_the_place(self, process: Process) -> None:
        process.start("--debug")
        process.logger().debug("ours")
        logging.getLogger("lib").debug("theirs")
        for line in process.lines():
            assert f" test_debug_suffix_names_the_place {__file__}:" in line

    @pytest.mark.parametrize("form", ["%(message)s", "%(levelname)s:%(message)s"])
    def test_format_of_the_operator_keeps_the_request(self, process: Process, form: str) -> None:
        process.start("--log-format", form)
        process.logger().error("free")
        with working_on(REQUEST):
            process.logger().error("bound")
        free, bound = process.lines()
        assert free.endswith("free")
        assert "req" not in free
        assert bound.endswith("[req-1] bound")

    def test_every_key_is_there_with_and_without_a_request(self, process: Process) -> None:
        request = ["request_id", "global_request_id", "user_identity", "user", "tenant", "project"]
        keys = [*request, "domain", "system_scope", "user_domain", "project_domain"]
        keys += ["instance", "resource"]
        process.start("--log-format", "|".join(f"%({key})s" for key in keys))
        process.logger().error("x")
        with working_on(Correlation("req-2")):
            process.logger().error("x")
        assert process.lines() == ["-|-|-|-|-|-|-|-|-|-||", "req-2|-|- - - - - -|-|-|-|-|-|-|-||"]

    def test_identity_format_of_an_older_release(self, process: Process) -> None:
        process.start(logging_user_identity_format="%(user)s %(tenant)s %(unheard_of)s")
        with working_on(REQUEST):
            process.logger().error("x")
        assert "[req-0 req-1 usr prj -]" in process.lines()[0]

    def test_date_format(self, process: Process) -> None:
        process.start("--log-date-format", "on the day", "--log-format", "%(asctime)s")
        process.logger().error("x")
        assert process.lines() == ["on the day"]

    @pytest.mark.parametrize(
        "name",
        [
            "log_format",
            "logging_context_format_string",
            "logging_default_format_string",
            "logging_debug_format_suffix",
            "logging_exception_prefix",
        ],
    )
    @pytest.mark.parametrize("form", ["%(unheard_of)s", "%(message)", "%s", "%(message)d"])
    def test_wrong_format_is_found_at_start(self, process: Process, name: str, form: str) -> None:
        with pytest.raises(ConfigError, match=rf"\[DEFAULT\]{name}\b"):
            process.start(**{name: form})

    def test_json(self, process: Process) -> None:
        process.start("--use-json")
        with working_on(REQUEST):
            process.logger().error("a\nb {x}", x="password=hunter2")
        try:
            raise ValueError("oops")
        except ValueError:
            process.logger().failure("While {doing}", doing="nothing")
        first, second = map(json.loads, process.lines())
        assert first["message"] == "a\\nb password=***"
        assert first["levelname"] == "ERROR"
        assert first["name"] == "glance.x"
        assert first["request_id"] == "req-1"
        assert first["global_request_id"] == "req-0"
        assert first["context"]["user"] == "usr"
        assert first["traceback"] is None
        assert second["message"] == "While nothing"
        assert second["error_summary"] == "ValueError: oops"
        assert second["traceback"][0] == "Traceback (most recent call last):"


class TestSafety:
    @pytest.mark.parametrize("value", ["a\nb", "a\r\nb", "a\x1b[2Kb", "a\u2028b", "a\x85b"])
    def test_no_value_makes_a_second_line(self, process: Process, value: str) -> None:
        process.start()
        process.logger().error("Name {name}", name=value)
        logging.getLogger("lib").error("Name %s", value)
        with working_on(Correlation(value, user=value)):
            process.logger().error("Name")
        text = process.path.read_bytes().decode()
        assert len(text.splitlines()) == 3
        assert value not in text

    def test_secrets_of_both_kinds_of_logger(self, process: Process) -> None:
        process.start()
        process.logger().error("{headers}", headers={"X-Auth-Token": "canary"})
        logging.getLogger("lib").error("mysql://u:%s@h/d", "canary")
        try:
            raise ValueError("no login with password=canary")
        except ValueError:
            process.logger().failure("Oops")
            logging.getLogger("lib").exception("Oops")
        assert "canary" not in process.path.read_text()
        assert process.path.read_text().count("***") == 6

    def test_undecodable_text(self, process: Process) -> None:
        process.start()
        process.logger().error("{name}", name=os.fsdecode(b"\xff"))
        assert process.lines()[0].endswith("\\udcff")

    def test_arguments_that_do_not_fit(self, process: Process) -> None:
        process.start()
        logging.getLogger("lib").error("%d things", "many")
        process.logger().error("{missing}")
        assert "'%d things'" in process.lines()[0]
        assert len(process.lines()) == 2


def failing(depth: int) -> None:
    if depth:
        failing(depth - 1)
    raise ValueError("two\nlines")


class TestTracebacks:
    def caught(self) -> Failure:
        try:
            failing(1)
        except ValueError:
            return Failure()
        raise AssertionError

    def check(self, lines: list[str], name: str) -> None:
        message, *rest = lines
        assert message.endswith("Oops")
        prefix = rf"{STAMP} {os.getpid()} ERROR {name} "
        assert all(re.match(prefix, line) for line in rest)
        plain = [re.sub(prefix, "", line) for line in rest]
        assert plain[0] == "[req-1] Traceback (most recent call last):"
        assert plain[-1] == "[req-1] ValueError: two\\nlines"
        assert any(", in failing" in line for line in plain)

    @pytest.mark.parametrize("cleaned", [False, True])
    def test_of_a_failure(self, process: Process, cleaned: bool) -> None:
        process.start()
        failure = self.caught()
        if cleaned:
            failure.cleanFailure()
        with working_on(REQUEST):
            process.logger().failure("Oops", failure)
        assert " CRITICAL glance.x " in process.lines()[0]
        self.check(process.lines(), "glance.x")

    def test_of_a_library(self, process: Process) -> None:
        process.start()
        with working_on(REQUEST):
            try:
                failing(1)
            except ValueError:
                logging.getLogger("lib").exception("Oops")
        self.check(process.lines(), "lib")

    def test_with_a_cause(self, process: Process) -> None:
        process.start()
        try:
            try:
                failing(0)
            except ValueError as error:
                raise KeyError("\nTraceback (most recent call last)\nforged") from error
        except KeyError:
            process.logger().failure("Oops")
        text = process.path.read_text()
        assert "direct cause" in text
        assert not any(
            line.endswith("forged'") and "KeyError" not in line for line in process.lines()
        )

    def test_failure_without_a_message(self, process: Process) -> None:
        process.start()
        process.logger().emit(LogLevel.error, None, log_failure=self.caught())
        assert process.lines()[0].endswith("[-] two\\nlines")


class TestFiles:
    def test_directory_gives_the_file_the_name_of_the_program(
        self, process: Process, tmp_path: Path
    ) -> None:
        process.start("--log-dir", str(tmp_path), file=False)
        process.logger().error("x")
        assert (tmp_path / "glance-api.log").read_text().count("\n") == 1

    def test_directory_is_put_before_the_file(self, process: Process, tmp_path: Path) -> None:
        process.start("--log-dir", str(tmp_path), "--log-file", "y", file=False)
        process.logger().error("x")
        assert (tmp_path / "y").exists()

    @pytest.mark.parametrize("option", ["log_file", "log_dir"])
    def test_file_that_cannot_be_opened(
        self, process: Process, tmp_path: Path, option: str
    ) -> None:
        argv = [f"--{option.replace('_', '-')}", str(tmp_path / "absent/x")]
        with pytest.raises(ConfigError, match=rf"\[DEFAULT\]{option}: .*no such file"):
            process.start(*argv, file=False)

    @pytest.mark.parametrize("kind", ["none", "size", "interval"])
    def test_file_that_was_moved_is_opened_anew(self, process: Process, kind: str) -> None:
        process.start(log_rotation_type=kind)
        process.logger().error("one")
        moved = process.path.rename(process.path.with_suffix(".1"))
        process.logger().error("two")
        process.path.unlink()
        process.logger().error("three")
        assert [line[-3:] for line in moved.read_text().splitlines()] == ["one"]
        assert [line[-5:] for line in process.lines()] == ["three"]

    def test_directory_that_is_gone_stops_nothing(
        self, process: Process, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        directory = tmp_path / "gone"
        directory.mkdir()
        process.start("--log-dir", str(directory), file=False)
        (directory / "glance-api.log").unlink()
        directory.rmdir()
        process.logger().error("one")
        process.logger().error("two")
        assert capfd.readouterr().err.count("Cannot write the log") == 1
        directory.mkdir()
        process.logger().error("three")
        assert "three" in (directory / "glance-api.log").read_text()

    def test_size(self, process: Process) -> None:
        process.start(log_rotation_type="size", max_logfile_size_mb="1", max_logfile_count="2")
        for _ in range(100):
            process.logger().error("{x}", x="x" * 30000)
        sizes = {path.name: path.stat().st_size for path in process.state.glob("log*")}
        assert sorted(sizes) == ["log", "log.1", "log.2"]
        assert all(0 < size <= 1024 * 1024 for size in sizes.values())

    @pytest.mark.parametrize(
        ("unit", "interval"), [("Seconds", "5"), ("midnight", "1"), ("Weekday", "0"), ("days", "2")]
    )
    def test_interval(self, process: Process, unit: str, interval: str) -> None:
        process.start(
            log_rotation_type="Interval",
            log_rotate_interval_type=unit,
            log_rotate_interval=interval,
        )
        (handler,) = [
            h for h in logging.getLogger().handlers if isinstance(h, logtargets.TimedFile)
        ]
        process.logger().error("one")
        assert handler.rolloverAt > time.time()
        handler.rolloverAt = 0
        process.logger().error("two")
        assert len(list(process.state.glob("log.*"))) == 1
        assert len(process.lines()) == 1

    @pytest.mark.parametrize(("unit", "interval"), [("Weekday", "7"), ("Hours", "0")])
    def test_wrong_interval(self, process: Process, unit: str, interval: str) -> None:
        with pytest.raises(ConfigError, match=r"\[DEFAULT\]log_rotate_interval is"):
            process.start(
                log_rotation_type="interval",
                log_rotate_interval_type=unit,
                log_rotate_interval=interval,
            )

    @pytest.mark.parametrize("kind", ["size", "interval"])
    def test_two_processes_rotate_once(self, process: Process, kind: str) -> None:
        """Each believes that it is time; the second finds it done."""
        process.start(log_rotation_type=kind)
        process.start(log_rotation_type=kind)
        handlers: list[Any] = [
            h for h in logging.getLogger().handlers if isinstance(h, logtargets.ReopeningFile)
        ]
        process.logger().error("one")
        for handler in handlers:
            handler.doRollover()
        assert len(list(process.state.glob("log.*"))) == 1

    def test_two_processes_lose_no_line_when_time_is_up(self, process: Process) -> None:
        """The second would put what the first has just begun in place of what that has kept."""
        for _ in range(2):
            process.start(log_rotation_type="interval")
        process.logger().error("one")
        for handler in logging.getLogger().handlers:
            if isinstance(handler, logtargets.TimedFile):
                handler.rolloverAt = 0
        process.logger().error("two")
        (kept,) = process.state.glob("log.*")
        assert [line[-3:] for line in kept.read_text().splitlines()][-2:] == ["one", "one"]
        assert [line[-3:] for line in process.lines()] == ["two", "two"]

    @pytest.mark.parametrize("kind", ["size", "interval"])
    def test_processes_with_an_inherited_file_rotate_in_turn(
        self, process: Process, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Workers have the template's descriptor, and a lock on that is one of all of them."""
        lock = fcntl.flock
        monkeypatch.setattr(fcntl, "flock", lambda fd, how: lock(fd, how | fcntl.LOCK_NB))
        for _ in range(2):
            process.start(log_rotation_type=kind)
        handlers: list[Any] = [
            h for h in logging.getLogger().handlers if isinstance(h, logtargets.ReopeningFile)
        ]
        first, second = handlers
        second.close()
        second.stream = os.fdopen(os.dup(first.stream.fileno()), "a")
        with first.alone() as still:
            assert still
            with pytest.raises(BlockingIOError), second.alone():
                pass
        with second.alone() as still:
            assert still
        process.path.unlink()
        with second.alone() as still:
            assert not still


class TestOtherTargets:
    def test_stderr_by_default(self, process: Process, capsys: pytest.CaptureFixture[str]) -> None:
        process.start(file=False)
        process.logger().error("here")
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith(" here\n")

    def test_stderr_as_well(self, process: Process, capsys: pytest.CaptureFixture[str]) -> None:
        process.start(use_stderr="true")
        process.logger().error("here")
        assert capsys.readouterr().err.splitlines() == process.lines()

    def test_syslog(
        self, process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = str(tmp_path / "syslog")
        monkeypatch.setattr(logtargets, "SYSLOG_SOCKET", path)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
            daemon.bind(path)
            process.start("--use-syslog", "--syslog-log-facility", "LOG_LOCAL2", file=False)
            process.logger().error("here")
            text = daemon.recv(10000).decode()
        # Facility 18 (local2), severity 3 (error).
        assert re.match(r"<147>glance-api: .* ERROR glance\.x \[-\] here", text)

    def test_no_syslog_here(
        self, process: Process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logtargets, "SYSLOG_SOCKET", str(tmp_path / "absent"))
        with pytest.raises(ConfigError, match=r"\[DEFAULT\]use_syslog: .*absent"):
            process.start("--use-syslog")

    def test_journal(self, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[tuple[str, dict[str, Any]]] = []
        journal = types.ModuleType("systemd.journal")
        journal.send = lambda text, **fields: sent.append((text, fields))  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "systemd", types.ModuleType("systemd"))
        monkeypatch.setitem(sys.modules, "systemd.journal", journal)
        process.start("--use-journal", "--log-format", "%(message)s", file=False)
        with working_on(REQUEST):
            process.logger().warn("here")
        ((text, fields),) = sent
        assert text == "[req-1] here"
        assert fields["PRIORITY"] == 4
        assert fields["SYSLOG_IDENTIFIER"] == "glance-api"
        assert fields["REQUEST_ID"] == "req-1"

    def test_no_journal_here(self, process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "systemd", None)
        with pytest.raises(ConfigError, match=r"\[DEFAULT\]use_journal needs the Python module"):
            process.start("--use-journal")


CONFIG = """
[loggers]
keys = root, special
[handlers]
keys = one
[formatters]
keys = plain
[logger_root]
level = ERROR
handlers = one
[logger_special]
level = DEBUG
qualname = special
handlers =
[handler_one]
class = FileHandler
args = ({path!r},)
formatter = plain
[formatter_plain]
format = %(name)s %(request_id)s %(message)s
"""


class TestConfigurationFile:
    def test_decides_everything(self, process: Process, tmp_path: Path) -> None:
        early = logging.getLogger("early")
        (tmp_path / "logging.ini").write_text(CONFIG.format(path=str(process.path)))
        process.start("--debug", "--log-config-append", str(tmp_path / "logging.ini"), file=False)
        process.logger("special").debug("wanted\npassword=x")
        process.logger("other").warn("not wanted")
        with working_on(REQUEST):
            early.error("still works")
        logging.getLogger("special").setLevel(logging.NOTSET)
        assert process.lines() == [
            "special - wanted\\npassword=***",
            "early req-1 still works",
        ]

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            (None, "cannot be read"),
            ("nonsense", "not a logging configuration|cannot be followed"),
            ("[loggers]\nkeys=root\n", "lacks the section or key 'formatters'"),
            (CONFIG.replace("class = FileHandler", "class = Absent"), "Absent"),
            (CONFIG.replace("level = ERROR", "level = LOUD"), "LOUD"),
        ],
    )
    def test_wrong_file_is_named(
        self, process: Process, tmp_path: Path, text: str | None, told: str
    ) -> None:
        path = tmp_path / "logging.ini"
        if text is not None:
            path.write_text(text.format(path=str(process.path)) if "{path" in text else text)
        with pytest.raises(ConfigError) as caught:
            process.start("--log-config", str(path))
        assert f"[DEFAULT]log_config_append: the file {path}" in caught.value.message
        assert re.search(told, caught.value.message)


class TestBelowTwistd:
    @pytest.fixture
    def theirs(self, process: Process) -> Callable[[], str]:
        """Begin Twisted's logging to an observer of twistd's, as twistd does after us."""
        stream = io.StringIO()

        def begin() -> str:
            if not stream.getvalue():
                process.beginner.beginLoggingTo(
                    [textFileLogObserver(stream)], redirectStandardIO=False
                )
            return stream.getvalue()

        return begin

    def test_libraries_reach_the_observer_of_twistd(
        self, process: Process, theirs: Callable[[], str]
    ) -> None:
        process.start(under_twistd=True, file=False)
        process.logger().info("ours {x}", x="password=canary")
        with working_on(REQUEST):
            logging.getLogger("lib").warning("theirs\n%s", "token=canary")
            process.logger().error("ours again")
        logging.getLogger("lib").info("below the level")
        text = theirs()
        assert "[glance.x#info] ours password=***" in text
        assert "[lib#warn] [req-1] theirs\\ntoken=***" in text
        assert "[glance.x#error] [req-1] ours again" in text
        assert len(text.splitlines()) == 3

    def test_exception_of_a_library(self, process: Process, theirs: Callable[[], str]) -> None:
        process.start(under_twistd=True, file=False)
        try:
            failing(0)
        except ValueError:
            logging.getLogger("lib").exception("Oops")
        assert "[lib#error] Oops\n\tTraceback" in theirs()

    def test_our_options_take_everything(self, process: Process, theirs: Callable[[], str]) -> None:
        process.start("--verbose", under_twistd=True)
        process.logger().info("before twistd begins")
        theirs()
        process.logger().info("after")
        logging.getLogger("lib").info("theirs")
        assert [line.split("] ")[1] for line in process.lines()] == [
            "before twistd begins",
            "after",
            "theirs",
        ]


class TestRateLimit:
    def test_lines_beyond_the_burst_are_dropped_and_told_of_once(self, process: Process) -> None:
        process.start(rate_limit_interval="1000", rate_limit_burst="2")
        for number in range(5):
            process.logger().error("line {n}", n=number)
        process.logger().critical("heard")
        assert [line.split("] ")[1] for line in process.lines()] == [
            "line 0",
            "line 1",
            "Lines dropped: more than 2 in 1000 seconds.",
            "heard",
        ]

    def test_no_exempt_level(self, process: Process) -> None:
        process.start(rate_limit_interval="1000", rate_limit_burst="1", rate_limit_except_level="")
        process.logger().critical("heard")
        process.logger().critical("dropped")
        assert not any("dropped" in line for line in process.lines()[:1])
        assert len(process.lines()) == 2

    def test_count_begins_anew(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 0.0
        monkeypatch.setattr("glance.services.logs.time.monotonic", lambda: now)
        stream = io.StringIO()
        limit = RateLimit(logging.StreamHandler(stream), 10, 1, "CRITICAL")
        record = logging.makeLogRecord({"levelno": logging.INFO})
        assert [limit.filter(record) for _ in range(3)] == [True, False, False]
        now = 10.0
        assert limit.filter(record)
        assert stream.getvalue().count("dropped") == 1


def test_own_trouble_below_a_redirected_stderr_does_not_loop(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    """twistd turns what is printed into events; a handler that prints must not log for ever."""
    calls = []

    class Printing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            calls.append(record.getMessage())
            process.logger().error("and again")

    process.start()
    handler = Printing()
    logging.getLogger().addHandler(handler)
    try:
        process.logger().error("once")
    finally:
        logging.getLogger().removeHandler(handler)
    assert calls == ["once"]


def test_stopping_puts_everything_back(process: Process) -> None:
    before = (logging.getLogRecordFactory(), logging.getLogger("amqp").level)
    process.start("--debug")
    assert logging.getLogger("amqp").level == logging.WARNING
    process.stop()
    assert (logging.getLogRecordFactory(), logging.getLogger("amqp").level) == before
    process.logger().error("nobody hears")
    assert process.lines() == []
    assert correlation.current() is None


def test_standard_error_is_none_that_leads_back_to_the_log(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As twistd leaves it for whoever sets up logging anew, at a reload."""
    monkeypatch.setattr("sys.stderr", LoggingFile(Logger()))
    assert logtargets.StandardError().stream is sys.__stderr__
