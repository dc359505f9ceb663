"""Look into image data while it passes, to see that it is what it is said to be.

A hypervisor that is told "qcow2" follows what a qcow2 header says, to files of its host if need be
(CVE-2024-32498, CVE-2022-47951). So data whose format disagrees with the image's ``disk_format``,
or that refers to anything outside itself, is refused before the image can become active.

The inspectors are those of ``oslo.utils``, which the other services of a cloud use as well. They
keep headers only, whatever the size of the data.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from glance.domain.errors import UnsupportedContent


class Inspection:
    """The inspection of one stream of data.

    :param disk_format: what the data is said to be.
    :param require_match: whether other data is refused (``require_image_format_match``). The
        checks of what the data refers to are made in any case.
    :param gpt_nonfatal: checks of partition tables that may fail (``gpt_safety_checks_nonfatal``).
    :param contained: the data is said to be a container of disks. It may be anything then, but not
        a disk that refers outside itself: many a reader asks for the disk format only.
    """

    def __init__(
        self,
        disk_format: str,
        *,
        require_match: bool = True,
        gpt_nonfatal: Collection[str] = (),
        contained: bool = False,
    ) -> None:
        self._disk_format = disk_format
        self._require_match = require_match and not contained
        self._contained = contained
        self._tolerated = frozenset(gpt_nonfatal)
        if disk_format in ("aki", "ari"):
            self._tolerated |= {"mbr"}
        self._size = 0
        self._inspectors: dict[str, Any] | None = None
        self._inspectable = False

    def feed(self, data: memoryview) -> None:
        """Look at the next piece.

        :raises UnsupportedContent: it is clear already that the data is not of its format.
        """
        inspectors = self._started()
        self._size += len(data)
        chunk = None
        for name, inspector in list(inspectors.items()):
            if inspector.complete:
                if not inspector.format_match:
                    del inspectors[name]
                continue
            if chunk is None:
                chunk = bytes(data)
            try:
                inspector.eat_chunk(chunk)
            except Exception:
                # Data that an inspector cannot make sense of is not of its format.
                del inspectors[name]
        if self._require_match and self._inspectable and self._disk_format not in inspectors:
            raise self._mismatch("something else")

    def finish(self) -> int | None:
        """Decide, at the end of the data.

        :returns: the size in bytes of the disk that the image holds; ``None`` of a container, where
            nobody knows.
        :raises UnsupportedContent: the data is not of its format, or not safe.
        """
        inspectors = self._started()
        for inspector in inspectors.values():
            inspector.finish()
        found = {name: i for name, i in inspectors.items() if i.format_match}
        if "iso" in found or self._contained:
            # Kernels have the mark of a partition table, too.
            found.pop("gpt", None)
        if len(found) > 1:
            raise self._refused(f"it can be read as any of {', '.join(sorted(found))}")
        name, inspector = next(iter(found.items()), ("raw", None))
        if name == "qed":
            raise self._refused("images in the format qed are not accepted")
        if self._require_match and not self._fits(name):
            raise self._mismatch(name)
        if inspector is not None:
            self._check_safety(inspector)
        if self._contained:
            return None
        if inspector is None:
            return self._size
        size = inspector.virtual_size
        return self._size if name == "gpt" or not size else int(size)

    def _started(self) -> dict[str, Any]:
        if self._inspectors is None:
            # Loading the inspectors takes a while: only where one is needed.
            from oslo_utils.imageutils import format_inspector

            self._inspectors = {
                name: make() for name, make in format_inspector.ALL_FORMATS.items() if name != "raw"
            }
            self._inspectable = self._disk_format in self._inspectors
        return self._inspectors

    def _fits(self, name: str) -> bool:
        if self._disk_format == "raw" or self._disk_format == name:
            return True
        # Of a format that has no inspector (aki, ploop, …) all that can be asked is that the data
        # looks like no other. A partition table makes a raw disk none the less raw.
        return not self._inspectable and name in ("raw", "gpt")

    def _check_safety(self, inspector: Any) -> None:
        from oslo_utils.imageutils import format_inspector

        try:
            inspector.safety_check()
        except format_inspector.SafetyCheckFailed as failed:
            names = set(failed.failures)
            if str(inspector) == "gpt":
                names -= self._tolerated
            if names:
                raise self._refused(
                    f"it fails the safety check(s) {', '.join(sorted(map(str, names)))}"
                ) from None
        except format_inspector.ImageFormatError:
            raise self._refused("its header cannot be read") from None

    def _mismatch(self, found: str) -> UnsupportedContent:
        return self._refused(
            f"the image's disk_format is {self._disk_format}, but the content is {found}"
        )

    @staticmethod
    def _refused(reason: str) -> UnsupportedContent:
        return UnsupportedContent(f"The image data is not accepted: {reason}.")
