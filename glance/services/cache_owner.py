"""On whose behalf a program works on the cache's directory.

Cron often runs programs as root. What root makes in the directory, the service's own user could
neither read nor lock nor remove.
"""

from __future__ import annotations

import os
from contextlib import suppress


def become_owner(directory: str) -> None:
    """Become the user whom a directory belongs to, for good, if we are root and it is another one.

    :param directory: one that is missing is nobody's yet.
    """
    if os.geteuid() != 0:
        return
    try:
        state = os.stat(directory)
    except OSError:
        # Whoever is going to use it says what is wrong with it.
        return
    if state.st_uid == 0:
        return
    import pwd

    group, groups = state.st_gid, [state.st_gid]
    with suppress(KeyError):
        owner = pwd.getpwuid(state.st_uid)
        group, groups = owner.pw_gid, os.getgrouplist(owner.pw_name, owner.pw_gid)
    os.setgroups(groups)
    os.setgid(group)
    os.setuid(state.st_uid)
