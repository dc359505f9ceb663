"""What tests of the identity layer share."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

from glance.config import load

URL = "http://identity.example:5000"

BASIC = {
    "auth_url": URL,
    "username": "glance",
    "password": "canary-password",
    "user_domain_name": "Default",
    "project_name": "service",
    "project_domain_name": "Default",
}


def configured(
    options: dict[str, Any] | None = None, *, flavor: str = "keystone", more: str = ""
) -> Any:
    """Load a configuration with a section ``[keystone_authtoken]``.

    :param more: of the file, after that.
    """
    lines = [f"{name} = {value}" for name, value in (BASIC if options is None else options).items()]
    text = "\n".join(
        [
            "[database]\nconnection = sqlite://",
            f"[paste_deploy]\nflavor = {flavor}",
            "[keystone_authtoken]",
            *lines,
            more,
        ]
    )
    with tempfile.TemporaryDirectory() as directory, mock.patch.dict(os.environ):
        for name in list(os.environ):
            if name.startswith("OS_"):
                del os.environ[name]
        path = Path(directory, "glance-api.conf")
        path.write_text(text)
        return load("glance-api", ["--config-file", str(path)]).conf


def described(**changes: Any) -> dict[str, Any]:
    """Return a token's description as Keystone gives it."""
    token = {
        "methods": ["password"],
        "user": {
            "id": "u1",
            "name": "Uma",
            "domain": {"id": "d1", "name": "Domain"},
            "password_expires_at": None,
        },
        "project": {"id": "p1", "name": "Project", "domain": {"id": "d2", "name": "Other"}},
        "is_domain": False,
        "roles": [{"id": "r1", "name": "Member"}, {"id": "r2", "name": "reader"}],
        "catalog": [{"type": "image", "id": "s1", "name": "glance", "endpoints": []}],
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "expires_at": "2026-01-01T01:00:00.000000Z",
        "audit_ids": ["x"],
        **changes,
    }
    return {"token": {name: value for name, value in token.items() if value is not ...}}


#: When that token was handed out.
ISSUED = 1767225600.0
