"""What asks for another service's images can do everything with those of the original too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.remote_images import connected, drive, everything
from tests.services.original import Original

pytestmark = pytest.mark.service


class Open(Original):
    """It, with everybody an administrator."""

    def initialise(self) -> None:
        super().initialise()
        paste = (self.venv / "etc/glance/glance-api-paste.ini").read_text()
        (self.data / "glance-api-paste.ini").write_text(paste)
        (self.data / "policy.yaml").write_text('"context_is_admin": "@"\n')


@pytest.fixture
def original(tmp_path: Path) -> Iterator[Original]:
    made = Open(tmp_path / "original", f"sqlite:///{tmp_path}/catalogue.sqlite")
    made.binaries()
    made.start()
    yield made
    made.stop()


def test_everything(original: Original) -> None:
    async def work(reactor: Any) -> None:
        images = await connected(reactor, f"http://127.0.0.1:{original.port}")
        await everything(reactor, images)
        assert not await images.takes_digests()

    drive(work)
