"""A short run of ``python -m bench cache-chaos``: a cache is shaken, and nothing of it may show."""

from __future__ import annotations

import pytest

from bench import chaos
from tests.functional.server import _compiled

#: The same operations, data and failures of the store each time; what meets what is up to chance.
SEED = 20


def test_nothing_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every start would compile all of the service anew.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(_compiled()))
    # What it prints says on failure which operation it was, and where to look.
    assert chaos.main(["--operations", "250", "--seed", str(SEED), "--clients", "6"]) == 0
