"""Whether files on this machine say that the service is to get traffic.

An operator takes a service out of a load balancer's rotation, or lets a mount keep it out, by files
that are there or are missing. Which files count is told by ``[healthcheck] backends``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from glance.domain.errors import ConfigError

OK = "OK"
DISABLED = "DISABLED BY FILE"
MISSING = "FILE PATH MISSING"
#: Nobody could look.
UNKNOWN = "FILE CHECK FAILED"

#: The file that is looked for where none is configured.
DEFAULT_PATH = "/etc/glance/healthcheck_disable"


@dataclass(frozen=True, slots=True)
class FileCheck:
    """One backend of the health check.

    :param backend: its name.
    :param disabling: files that take the service out by being there, each with the port that it
        concerns, ``None`` for every port.
    :param enabling: files that take it out by being missing.
    """

    backend: str
    disabling: tuple[tuple[int | None, str], ...] = ()
    enabling: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """Every file that has to be looked for."""
        return [*(path for _, path in self.disabling), *self.enabling]

    def judge(self, present: Collection[str], port: int) -> str:
        """Return the reason that this backend gives; :data:`OK` when it has nothing against it.

        :param present: those of the paths that exist.
        :param port: the one that the question came in by.
        """
        if any(path in present for own, path in self.disabling if own in (None, port)):
            return DISABLED
        return OK if all(path in present for path in self.enabling) else MISSING


def make_checks(
    backends: Iterable[str],
    disable_by_file_path: str | None = None,
    disable_by_file_paths: Iterable[str] = (),
    enable_by_file_paths: Iterable[str] = (),
) -> list[FileCheck]:
    """Make the checks of the options of ``[healthcheck]``; without any, ``disable_by_file``.

    :raises ConfigError: a backend is not known, or lacks its files.
    """
    disabling = [text.strip() for text in disable_by_file_paths if text.strip()]
    enabling = [text.strip() for text in enable_by_file_paths if text.strip()]
    checks = []
    for name in [name.strip() for name in backends if name.strip()] or ["disable_by_file"]:
        if name == "disable_by_file":
            checks.append(FileCheck(name, ((None, disable_by_file_path or DEFAULT_PATH),)))
        elif name == "disable_by_files_ports":
            _must_be_set(name, "disable_by_file_paths", disabling)
            checks.append(FileCheck(name, tuple(_port_and_path(text) for text in disabling)))
        elif name == "enable_by_files":
            _must_be_set(name, "enable_by_file_paths", enabling)
            checks.append(FileCheck(name, enabling=tuple(enabling)))
        else:
            raise ConfigError(
                f"[healthcheck]backends: there is no {name!r}; there are disable_by_file, "
                "disable_by_files_ports and enable_by_files."
            )
    return checks


def _must_be_set(backend: str, option: str, values: list[str]) -> None:
    if not values:
        raise ConfigError(
            f"[healthcheck]backends has {backend}, so [healthcheck]{option} must be set as well."
        )


def _port_and_path(text: str) -> tuple[int, str]:
    port, _, path = text.partition(":")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536 and path):
        raise ConfigError(
            f"[healthcheck]disable_by_file_paths: {text!r} is not of the form port:path, such as "
            "9292:/etc/glance/disabled."
        )
    return int(port), path
