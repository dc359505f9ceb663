"""The service keeps to its own description, and that one is an OpenAPI document."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import requests

from tests.functional.cloud import CALLERS, Cloud
from tests.functional.fuzzing import (
    CHECKS,
    FACTOR,
    QUOTAS,
    Fuzzing,
    Strategies,
    described,
    description,
    drive,
    headers_of,
    session,
    strategies,
)
from tests.functional.matrix import ROUTES
from tests.functional.server import ROOT

__all__ = ["description", "session", "strategies"]

#: What becomes of a request is decided much the same way for all; one of them is thorough.
OTHERS = {who: 2 for who in CALLERS if who != "member"} if FACTOR else {"admin": 1}


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Cloud(settings=QUOTAS, cache=True) as cloud:
        yield cloud
        assert cloud.server.trouble() == []


class TestFuzzing(Fuzzing):
    """See :mod:`tests.functional.fuzzing`."""

    @pytest.mark.parametrize("who", OTHERS)
    @pytest.mark.parametrize("name", ROUTES)
    def test_others(
        self, cloud: Cloud, strategies: Strategies, session: requests.Session, name: str, who: str
    ) -> None:
        drive(cloud, strategies, session, name, who, OTHERS[who])


# The document itself.


@pytest.fixture(scope="module")
def document(cloud: Cloud) -> Any:
    return cloud.call("member", "GET", "/v2/openapi.json").json


def test_is_a_document_of_openapi(cloud: Cloud, document: Any) -> None:
    described(cloud, {}).validate()
    for schema in document["components"]["schemas"].values():
        jsonschema_rs.meta.validate(schema)


def test_examples_fit(document: Any) -> None:
    components = document["components"]
    shown = 0
    for name, schema in components["schemas"].items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": components}
        validator = jsonschema_rs.Draft202012Validator(whole)
        for example in schema.get("examples", []):
            validator.validate(example)
            shown += 1
    assert shown


def test_nothing_leads_nowhere(document: Any) -> None:
    for pointer in set(_references(document)):
        found = document
        for part in pointer.removeprefix("#/").split("/"):
            found = found[part]
    operations = [
        operation for methods in document["paths"].values() for operation in methods.values()
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        for response in operation["responses"].values():
            assert {link["operationId"] for link in response.get("links", {}).values()} <= {*names}


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    elif isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for item in value.values():
            yield from _references(item)


# What takes long.


@pytest.mark.skipif(not FACTOR, reason="takes minutes: set GLANCE_FUZZ")
@pytest.mark.parametrize("who", ["member", "admin"])
def test_limits(cloud: Cloud, tmp_path: Path, who: str) -> None:
    """Drive it with what schemathesis thinks of without chance: values at limits and beyond."""
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(f'[parameters]\n"path.image_id" = "{cloud.image()}"\n')
    command = [sys.executable, "-m", "schemathesis.cli"]
    command += ["--config-file", str(settings), "run", f"{cloud.server.url}/v2/openapi.json"]
    command += ["--phases", "examples,coverage", "--continue-on-failure", "--seed", "1"]
    command += ["--checks", ",".join(check.__name__ for check in CHECKS)]
    command += ["--exclude-operation-id", "delete_images_image_id"]
    for name, value in headers_of(cloud, who).items():
        command += ["--header", f"{name}: {value}"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={
            **os.environ,
            "SCHEMATHESIS_HOOKS": "tests.functional.fuzzing",
            "PYTHONPATH": str(ROOT),
        },
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
