"""The replicator as a service that keeps two others in step, and on a terminal."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.functional import replication
from tests.functional.flapping import Fault, Proxy, each, honest
from tests.functional.replication import replace
from tests.functional.replicator import PROGRAM, TWISTD, Case, Done, finish
from tests.functional.server import eventually
from tests.functional.wire import MIB, data_of


@contextmanager
def watching(
    case: Case, *words: object, program: tuple[str, ...] = PROGRAM, number: int = signal.SIGTERM
) -> Iterator[list[Done]]:
    """Have it run meanwhile; what it said is in the list afterwards."""
    said: list[Done] = []
    words = (*words, "--tag", case.tag, "--watch", 1)
    process = case.program.start(*words, program=program)
    try:
        yield said
        assert process.poll() is None, process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    process.send_signal(number)
    said.append(finish(process, None))


def in_step(case: Case) -> bool:
    return case.differences() == []


PROGRAMS = {"program": PROGRAM, "twistd": TWISTD}


class TestWatching:
    @pytest.mark.parametrize("name", PROGRAMS)
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_keeps_in_step(self, case: Case, name: str, number: int) -> None:
        first = case.image(name="first")
        words = ("livecopy", *case.places)
        with watching(case, *words, program=PROGRAMS[name], number=number) as said:
            eventually(lambda: in_step(case), "the first image")
            second = case.image(name="second")
            replace(case.source, first, "name", "changed")
            eventually(lambda: in_step(case), "the second image and the change")
            assert case.there(second) is not None
        (done,) = said
        assert done.code == 0, done

    def test_goes_on_when_a_side_was_away(self, case: Case) -> None:
        case.image(name="first")
        with Proxy(case.target.port) as proxy:
            words = ("livecopy", case.places[0], proxy.place, "--retries", 0)
            with watching(case, *words):
                eventually(lambda: in_step(case), "the first image")
                proxy.down()
                case.image(name="second")
                case.image(name="third")
                # It is asked for, and nobody is there.
                proxy.up()
                eventually(lambda: in_step(case), "what came meanwhile")

    def test_goes_on_when_an_image_fails(self, case: Case) -> None:
        bad = case.image(data_of(MIB), name="bad")
        with Proxy(case.target.port) as proxy:
            path = f"/v2/images/{bad}/file"
            proxy.plan = each("PUT", path, *[Fault("cut", 1000)] * 99)
            words = ("livecopy", case.places[0], proxy.place, "--retries", 0)
            with watching(case, *words):
                eventually(lambda: proxy.count("PUT", path) > 1, "another try in the next round")
                proxy.plan = honest
                eventually(lambda: in_step(case), "the image")

    def test_below_twistd_with_a_file(self, case: Case) -> None:
        """As a service is started: the configuration says it all."""
        case.image(name="first")
        (case.home / "glance-replicator.conf").write_text(
            f"[DEFAULT]\ntag = {case.tag}\nwatch = 1\n"
            f"[source]\nserver = {case.places[0]}\n[target]\nserver = {case.places[1]}\n"
        )
        words = ("--config-file", case.home / "glance-replicator.conf")
        process = case.program.start(*words, program=TWISTD)
        try:
            eventually(lambda: in_step(case), "the image")
        finally:
            process.send_signal(signal.SIGTERM)
            done = finish(process, None)
        assert done.code == 0, done

    def test_what_is_being_copied_is_broken_off(self, case: Case) -> None:
        image_id = case.image(data_of(4 * MIB))
        with Proxy(case.target.port) as proxy:
            process = case.program.start(
                "livecopy", case.places[0], proxy.place, "--tag", case.tag, "--watch", 1
            )
            proxy.alarm(MIB, process.terminate)
            done = finish(process, None)
        assert done.code == 0, done
        eventually(lambda: case.target.status(image_id) in ("queued", "active"), "its end")
        case.livecopy()
        assert case.differences() == []


class TestTerminal:
    def test_progress(self, case: Case) -> None:
        case.images(data_of(3 * MIB), b"small")
        words = ("livecopy", *case.places, "--tag", case.tag)
        code, said = case.program.run_on_terminal(*words)
        assert code == 0, said
        # Lines are painted over.
        assert "\r" in said.replace("\r\n", "\n")
        assert "2 copied" in said
        assert case.differences() == []

    def test_plain_lines_elsewhere(self, case: Case) -> None:
        case.images(data_of(3 * MIB), b"small")
        done = case.livecopy()
        assert "2 copied" in done.said
        assert "\r" not in done.said
        assert "\x1b" not in done.said
        assert all(image_id in done.said for image_id in case.ids)

    @pytest.mark.parametrize(
        ("typed", "gone"), [("y\n", True), ("n\n", False), ("\n", False), ("\x04", False)]
    )
    def test_deleting_is_asked_about(self, case: Case, typed: str, gone: bool) -> None:
        case.image()
        extra = replication.image(case.target, b"x", tags=[case.tag], name="extra one")
        words = ("livecopy", *case.places, "--tag", case.tag, "--delete-extra")
        code, said = case.program.run_on_terminal(*words, typed=typed)
        assert code == 0, said
        assert "extra one" in said
        # What comes next stands in a line of its own, also where no answer ended this one.
        assert ("[y/N] \r\n" in said) == (typed == "\x04")
        assert (case.there(extra) is None) == gone
        assert case.differences() == []

    def test_a_summary_as_json(self, case: Case) -> None:
        case.image(b"12345")
        found = case.livecopy("--json").json
        assert (found["exit_code"], found["counts"]["copied"], found["bytes"]) == (0, 1, 5)

    def test_a_log_file(self, case: Case) -> None:
        image_id = case.image()
        case.livecopy("--log-file", case.home / "log", "--debug")
        log = (case.home / "log").read_text()
        assert image_id in log
        assert (case.target.token or "") not in log


def test_the_program_twistd_runs_is_there() -> None:
    out = subprocess.run([TWISTD[0], "--help"], capture_output=True, text=True, check=True).stdout
    assert "glance-replicator" in out
