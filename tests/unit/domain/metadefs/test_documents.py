"""The documents of ``/v2/schemas/metadefs`` are those that clients know."""

import json
from pathlib import Path
from typing import Any

import pytest

from glance.domain.documents import served_schemas

KNOWN = json.loads(Path(__file__).with_name("schemas.json").read_text())
SERVED = {
    path: document
    for path, document in served_schemas(["raw"], ["bare"]).items()
    if path.startswith("metadefs/")
}


def undescribed(value: Any, names: bool = False) -> Any:
    """Return a document without what is for people.

    :param names: whether the keys are names of properties.
    """
    if isinstance(value, list):
        return [undescribed(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: undescribed(inner, key == "properties" and not names)
        for key, inner in value.items()
        if names or key != "description" or not isinstance(inner, str)
    }


def test_there_are_no_others() -> None:
    assert set(SERVED) == set(KNOWN)


@pytest.mark.parametrize("path", KNOWN)
def test_document(path: str) -> None:
    assert undescribed(SERVED[path]) == KNOWN[path]
