"""What all tests share."""

from __future__ import annotations

import signal

import pytest
from hypothesis import settings

# A busy machine must not fail a test: time decides nothing.
settings.register_profile("glance", deadline=None)
settings.load_profile("glance")


def _ignore(number: int, frame: object) -> None:
    """Do nothing with a signal."""


# What a shell runs in the background ignores the first, what nohup runs the second, and so would
# all that is started from here. A signal that is caught here is not ignored there.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, _ignore)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what tests have to say (``record_property("said", …)``) though they pass."""
    for status in ("passed", "failed"):
        for report in terminalreporter.getreports(status):
            for name, value in report.user_properties:
                if name == "said" and report.when == "call":
                    terminalreporter.write_line(f"{report.nodeid}: {value}")
