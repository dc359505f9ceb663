"""What root starts is done as the user whom the cache belongs to."""

import os
from types import SimpleNamespace

import pytest

from glance.services import cache_owner
from glance.services.cache_owner import become_owner


@pytest.fixture
def become(monkeypatch):
    """Become somebody, and tell what that took."""

    def become(euid, uid, gid=7):
        calls = []
        fake = SimpleNamespace(
            geteuid=lambda: euid,
            stat=lambda path: SimpleNamespace(st_uid=uid, st_gid=gid),
            getgrouplist=os.getgrouplist,
            **{
                name: lambda value, name=name: calls.append((name, value))
                for name in ("setgroups", "setgid", "setuid")
            },
        )
        monkeypatch.setattr(cache_owner, "os", fake)
        become_owner("/var/cache/glance")
        return calls

    return become


def test_root_becomes_the_owner(become):
    # The user last, who may not do the others.
    assert become(0, 54321) == [("setgroups", [7]), ("setgid", 7), ("setuid", 54321)]


def test_groups_of_a_user_with_a_name(become):
    import pwd

    nobody = pwd.getpwnam("nobody")
    groups = os.getgrouplist("nobody", nobody.pw_gid)
    assert become(0, nobody.pw_uid) == [
        ("setgroups", groups), ("setgid", nobody.pw_gid), ("setuid", nobody.pw_uid)
    ]  # fmt: skip


@pytest.mark.parametrize(("euid", "uid"), [(0, 0), (1000, 0), (1000, 54321)])
def test_others_stay_who_they_are(become, euid, uid):
    assert become(euid, uid) == []


def test_directory_that_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    become_owner(str(tmp_path / "missing"))
