"""Who may do what, at a running service: policy files that change, and protected properties."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.server import PATIENCE, ROOT, Server, eventually

ABSENT = "9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}


@pytest.fixture
def quick_server() -> Iterator[Server]:
    """A service that looks at its policy files all the time."""
    with Server(settings={"policy_reload_interval": 0.05}) as server:
        yield server
        assert server.trouble() == []


def put(server: Server, text: str, name: str = "policy.yaml") -> Path:
    """Put a file where the service looks, in one go."""
    path = server.home / name
    draft = path.with_suffix(".draft")
    draft.write_text(text)
    draft.rename(path)
    return path


def refused(server: Server, status: int) -> bool:
    return server.request("GET", "/v2/images").status == status


def test_policy_files_are_taken_up_while_the_service_runs(quick_server: Server) -> None:
    server = quick_server
    secret = server.create(name="secret", visibility="private")
    shown = server.create(name="shown", visibility="public")

    path = put(server, "get_images: '!'\n")
    eventually(lambda: refused(server, 403), "listing is refused")
    assert server.show(shown)["id"] == shown

    nobody = ("modify_image", "delete_image", "upload_image", "download_image", "deactivate")
    rules = ["get_images: '@'", "get_image: \"'public':%(visibility)s\""]
    put(server, "\n".join([*rules, *(f"{rule}: '!'" for rule in nobody)]))
    eventually(lambda: refused(server, 200), "listing is allowed")
    page = server.request("GET", "/v2/images?limit=1").json
    assert [image["id"] for image in page["images"]] == [shown]
    # The next page is there although nothing of it may be seen.
    page = server.request("GET", page["next"]).json
    assert page["images"] == []
    assert "next" in page
    assert "next" not in server.request("GET", page["next"]).json
    for method, suffix, body in (
        ("GET", "", None),
        ("DELETE", "", None),
        ("PATCH", "", [{"op": "replace", "path": "/id", "value": "x"}]),
        ("PATCH", "", [{"op": "remove", "path": "/missing"}]),
        ("PUT", "/tags/t", None),
        ("POST", "/actions/deactivate", None),
        ("GET", "/file", None),
    ):
        hidden = server.request(method, f"/v2/images/{secret}{suffix}", body, PATCH)
        absent = server.request(method, f"/v2/images/{ABSENT}{suffix}", body, PATCH)
        assert (hidden.status, absent.status) == (404, 404), (method, suffix)
        assert hidden.body == absent.body.replace(ABSENT.encode(), secret.encode())
    for method, suffix in (("DELETE", ""), ("PUT", "/tags/t"), ("GET", "/file")):
        assert server.request(method, f"/v2/images/{shown}{suffix}").status == 403

    put(server, "get_images: '!'\nget_image: nonsense\n")
    said = f"The policy rules stay as they were: Policy file {path} line 2: "
    eventually(lambda: said in server.log_text(), "the fault is told")
    assert refused(server, 200)

    path.unlink()
    eventually(lambda: server.request("GET", f"/v2/images/{secret}").status == 200, "defaults")
    assert server.log_text().count("The policy rules stay as they were") == 1
    assert "Policy rules changed: defaults" in server.log_text()


def test_every_worker_takes_policy_files_up() -> None:
    with Server(settings={"policy_reload_interval": 0.05}, arguments=("--workers", "2")) as server:
        eventually(lambda: server.log_text().count("Accepting requests") == 2, "both are there")
        put(server, "get_images: '!'\n")
        eventually(lambda: server.log_text().count("Policy rules changed: ") == 2, "both changed")
        assert all(refused(server, 403) for _ in range(20))
        assert server.trouble() == []


@pytest.mark.parametrize(
    ("workers", "variable", "said"),
    [
        ("0", None, "Policy file {home}/policy.yaml line 2: the check of rule 'get_image' cannot"),
        ("2", None, "Policy file {home}/policy.yaml line 2: the check of rule 'get_image' cannot"),
        ("0", "OS_OSLO_POLICY__POLICY_FILE", "[oslo_policy]policy_file = 'gone': there is no such"),
        ("2", "OS_DEFAULT__PROPERTY_PROTECTION_FILE", "[DEFAULT]property_protection_file = 'gone'"),
    ],
)
def test_files_that_cannot_be_used_end_the_start(
    tmp_path: Path, workers: str, variable: str | None, said: str
) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("OS_", "XDG_"))}
    environment = kept | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    if variable is None:
        (tmp_path / "policy.yaml").write_text("a: x:y\nget_image: http://policy.example/\n")
    else:
        environment[variable] = "gone"
    command = ["glance.cmd.api", "--state-dir", str(tmp_path / "state"), "--bind-port", "0"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--workers", workers],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("ERROR: " + said.format(home=tmp_path))


PROTECTION = """
[^secret_]
create = @
read = !
update = @
delete = @

[^fixed_]
create = admin
read = @
update = !
delete = !

[.*]
create = @
read = @
update = @
delete = @
"""


@pytest.fixture(scope="module")
def guarded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with protected properties."""
    path = tmp_path_factory.mktemp("protection") / "protected.conf"
    path.write_text(PROTECTION)
    with Server(settings={"property_protection_file": path}) as server:
        yield server
        assert server.trouble() == []


def patched(server: Server, image_id: str, op: str, name: str) -> Any:
    change = {"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": "new"})
    return server.request("PATCH", f"/v2/images/{image_id}", [change], PATCH)


def test_protected_properties(guarded_server: Server) -> None:
    server = guarded_server
    body = {"secret_x": "s", "fixed_x": "f", "open_x": "o"}
    created = server.request("POST", "/v2/images", body)
    assert created.status == 201
    image_id = created.json["id"]
    listed = server.request("GET", f"/v2/images?id={image_id}").json["images"]
    changed = patched(server, image_id, "add", "open_x")
    assert changed.status == 200
    for shown in (created.json, server.show(image_id), *listed, changed.json):
        assert {name for name in shown if name.endswith("_x")} == {"fixed_x", "open_x"}
    for op, name in (
        ("replace", "secret_x"),
        ("remove", "secret_x"),
        ("add", "secret_x"),
        ("remove", "secret_y"),
        ("replace", "fixed_x"),
        ("remove", "fixed_x"),
        ("add", "fixed_x"),
    ):
        answer = patched(server, image_id, op, name)
        assert answer.status == 403, (op, name)
        assert b"is protected" in answer.body
    assert patched(server, image_id, "add", "secret_y").status == 200
    assert patched(server, image_id, "add", "fixed_y").status == 200


def test_a_filter_tells_nothing_of_what_may_not_be_read(guarded_server: Server) -> None:
    server = guarded_server
    body = {"secret_z": "s", "open_z": "o"}
    for _ in range(2):
        assert server.request("POST", "/v2/images", body).status == 201
    found = server.request("GET", "/v2/images?open_z=o&limit=1").json
    assert len(found["images"]) == 1 and "next" in found
    for query in ("secret_z=s", "secret_z=s&limit=1", "open_z=o&secret_z=s&limit=1"):
        hidden = server.request("GET", f"/v2/images?{query}").json
        assert hidden["images"] == [] and "next" not in hidden
