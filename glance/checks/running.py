"""Run checks one after another, none of which can hold up or hide the others.

Each runs in a thread of its own with a deadline: a file server that is gone holds whoever asks it
inside the kernel, for as long as it likes. What a check has found by then still counts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from glance.checks.results import Finding, Level, Outcome, doubt, fault, sum_up
from glance.checks.setting import Setting
from glance.domain.errors import GlanceError

_THREAD = "check "


@dataclass(frozen=True, slots=True)
class Check:
    """A check.

    :param name: what operators know it by.
    :param thd_look: looks at one thing and yields what there is to say about it.
    :param needs: the check that must not have failed for this one to make sense.
    """

    name: str
    thd_look: Callable[[Setting], Iterable[Finding]]
    needs: str = ""


def run(checks: Sequence[Check], setting: Setting, clean: Callable[[str], str]) -> list[Outcome]:
    """Run checks in their order.

    :param clean: blots secrets out of the words of an error that nobody foresaw.
    """
    outcomes: dict[str, Outcome] = {}
    for check in checks:
        needed = outcomes.get(check.needs)
        if needed is not None and needed.level is Level.FAILURE:
            findings = [doubt(f"Not looked at, since this failed: {check.needs}.")]
        else:
            findings = _look(check, setting, clean)
        outcomes[check.name] = sum_up(check.name, findings)
    return list(outcomes.values())


def _look(check: Check, setting: Setting, clean: Callable[[str], str]) -> list[Finding]:
    found: list[Finding] = []

    def thd_look() -> None:
        try:
            for finding in check.thd_look(setting):
                found.append(finding)
        except GlanceError as error:
            found.append(fault(error.message))
        except Exception as error:
            found.append(fault(clean(f"The check itself failed: {type(error).__name__}: {error}")))

    if not thd_finish({check.name: thd_look}, setting.patience)[check.name]:
        return [*found, fault(f"No answer within {setting.patience:g} seconds.")]
    return found


def thd_finish(jobs: Mapping[str, Callable[[], None]], seconds: float) -> dict[str, bool]:
    """Run jobs side by side, each in a thread, and leave those behind that do not finish.

    :param jobs: by their names.
    :returns: by name, whether each has finished.
    """
    threads = {
        name: threading.Thread(target=job, name=f"{_THREAD}{name}", daemon=True)
        for name, job in jobs.items()
    }
    deadline = time.monotonic() + seconds
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, deadline - time.monotonic()))
    return {name: not thread.is_alive() for name, thread in threads.items()}


def hangs() -> bool:
    """Tell whether a check was left behind, so that the process cannot end in the ordinary way."""
    return any(thread.name.startswith(_THREAD) for thread in threading.enumerate())
