"""``glance-status`` beside a real service: what it says of a good one, and of several bad ones."""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from glance.cmd.status import all_checks
from tests.functional.server import PATIENCE, ROOT, Server


class Outcome(NamedTuple):
    """How a run ended.

    :param checks: results and details by the names of the checks.
    """

    code: int
    checks: dict[str, tuple[int, str]]

    def told(self, name: str, level: int) -> str:
        assert self.checks[name][0] == level, self.checks[name]
        return self.checks[name][1]


def check(home: Path, *words: str, **settings: str) -> Outcome:
    """Run the program and read its JSON."""
    env = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "XDG_"))}
    env |= {"HOME": str(home), "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-m", "glance.cmd.status", "upgrade", "check", "--json", *words]
    done = subprocess.run(
        command, env=env, cwd=home, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.stderr == ""
    document: Any = json.loads(done.stdout)
    assert set(document) == {"name", "checks"}
    assert document["name"] == "Upgrade Check Results"
    for one in document["checks"]:
        assert set(one) == {"check", "result", "details"}
        assert one["details"] is None or isinstance(one["details"], str)
    checks = {one["check"]: (one["result"], one["details"] or "") for one in document["checks"]}
    assert done.returncode == max(level for level, _ in checks.values())
    return Outcome(done.returncode, checks)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def configured(tmp_path: Path, text: str = "", connection: str | None = None) -> tuple[str, str]:
    """Write a configuration file; return the option that names it."""
    path = tmp_path / "x.conf"
    connection = connection or f"sqlite:///{tmp_path}/glance.sqlite"
    (tmp_path / "images").mkdir(exist_ok=True)
    path.write_text(
        f"{text}\n[database]\nconnection = {connection}\n"
        f"[glance_store]\nfilesystem_store_datadir = {tmp_path}/images\n"
    )
    return "--config-file", str(path)


def test_before_the_first_start(tmp_path: Path) -> None:
    outcome = check(tmp_path)
    assert outcome.code == 0
    assert list(outcome.checks) == [check.name for check in all_checks()]
    assert os.listdir(tmp_path) == []


def test_a_service_that_runs(server: Server) -> None:
    server.image(b"some data")
    outcome = check(server.home, "--state-dir", str(server.state))
    assert outcome.code == 0, outcome
    assert outcome.told("Image Locations", 0).startswith("1 copies")
    assert not [name for name in server.stored() if "glance-status" in name]


def test_a_service_that_was_stopped_and_lost_a_file(tmp_path: Path) -> None:
    with Server() as server:
        image_id = server.image(b"some data")
        server.stop()
        assert check(server.home, "--state-dir", str(server.state)).code == 0
        (server.images / image_id).unlink()
        outcome = check(server.home, "--state-dir", str(server.state))
        assert image_id in outcome.told("Image Locations", 2)


def test_the_table(tmp_path: Path) -> None:
    env = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
    env.pop("XDG_STATE_HOME", None)
    command = [sys.executable, "-m", "glance.cmd.status", "upgrade", "check"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == lines[2] == lines[-1] == "+" + "-" * (len(lines[0]) - 2) + "+"
    assert lines[1].startswith("| Upgrade Check Results ")
    assert lines[3].startswith("| Check: Sheepdog Driver Removal ")
    assert lines[4].startswith("| Result: Success ")
    assert {len(line) for line in lines} == {len(lines[0])}


def test_a_configuration_with_much_to_say_of(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"get_image": "role:member"}')
    (tmp_path / "staging").write_text("")
    options = configured(
        tmp_path,
        f"[DEFAULT]\nwokers = 3\nregistry_host = x\nowner_is_tenant = False\n"
        f"node_staging_uri = file://{tmp_path}/staging\nproperty_protection_file = none.conf\n"
        f"cert_file = {tmp_path}/none\nkey_file = {tmp_path}/none\n"
        "[paste_deploy]\nflavor = trusted-auth\n",
    )
    outcome = check(tmp_path, *options)
    assert outcome.code == 2
    assert "policy.json" in outcome.told("Policy File JSON to YAML Migration", 2)
    assert "owner_is_tenant" in outcome.told("Config option owner_is_tenant removal", 2)
    told = outcome.told("Configuration Options", 1)
    assert "x.conf line 2: [DEFAULT]wokers" in told and "Did you mean workers?" in told
    assert "x.conf line 3: [DEFAULT]registry_host" in told
    assert "trusted-auth" in outcome.told("Authentication", 2)
    assert "none.conf" in outcome.told("Property Protection", 2)
    assert "cert_file" in outcome.told("TLS Certificates", 2)
    assert "node_staging_uri" in outcome.told("Directories", 2)
    assert "db sync" in outcome.told("Database Schema", 1)
    assert outcome.told("Stores", 0)


def test_default_files_are_found(tmp_path: Path) -> None:
    folder = tmp_path / ".glance"
    folder.mkdir()
    configured(tmp_path)
    (folder / "glance-api.conf").write_text((tmp_path / "x.conf").read_text())
    (folder / "glance-status.conf").write_text("[DEFAULT]\nregistry_port = 1\n")
    told = check(tmp_path).told("Configuration Options", 1)
    assert f"{folder}/glance-api.conf, {folder}/glance-status.conf" in told
    assert "registry_port" in told


def test_a_database_server_that_says_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://glance:geheim@127.0.0.1:{silent.getsockname()[1]}/glance"
        outcome = check(tmp_path, *configured(tmp_path, "", url), "--timeout", "0.5")
    assert "No answer within 0.5 seconds" in outcome.told("Database Schema", 2)
    for name in ("Image Locations", "Pending Deletes", "Work In Progress"):
        assert "Database Schema" in outcome.told(name, 1)
    assert "geheim" not in str(outcome)


def test_a_database_server_that_is_not_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    url = f"mysql://glance:geheim@127.0.0.1:{port}/glance"
    outcome = check(tmp_path, *configured(tmp_path, "", url))
    assert "cannot be reached" in outcome.told("Database Schema", 2)
    assert "geheim" not in str(outcome)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "glance.sqlite").write_text("no database" * 100)
    outcome = check(tmp_path, *configured(tmp_path))
    assert "not a database" in outcome.told("Database Schema", 2)


def test_another_process_that_writes(server: Server) -> None:
    connection = sqlite3.connect(server.state / "glance.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        assert check(server.home, "--state-dir", str(server.state)).code == 0
    finally:
        connection.close()
