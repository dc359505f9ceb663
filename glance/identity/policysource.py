"""Where the rules in force come from: the defaults, and the operator's files over them.

Files are looked up as oslo.policy does it: ``policy_file``, then every file of every directory of
``policy_dirs``, in the directories of the configuration files and in the usual places. Later ones
win. What cannot be meant is refused: it would decide who may do what.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glance.domain.errors import ConfigError
from glance.domain.text import shorten
from glance.identity.merging import merge
from glance.identity.policyfiles import thd_read
from glance.identity.ruleset import RuleSet

#: The default name up to release 18, still found where there is no newer file.
OLD_FILE = "policy.json"

#: What tells one state of the files from another.
Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class PolicyOptions:
    """The options that rules depend on.

    :param policy_file: ``[oslo_policy] policy_file``.
    :param file_is_named: whether the operator wrote it, who then expects the file to be there.
    :param policy_dirs: ``[oslo_policy] policy_dirs``.
    :param default_rule: ``[oslo_policy] policy_default_rule``.
    :param new_defaults_only: ``[oslo_policy] enforce_new_defaults``.
    :param admin_role: ``[DEFAULT] admin_role``.
    :param own_rules: whether ``property_protection_file`` names rules.
    """

    policy_file: str = "policy.yaml"
    file_is_named: bool = False
    policy_dirs: tuple[str, ...] = ("policy.d",)
    default_rule: str = "default"
    new_defaults_only: bool = True
    admin_role: str | None = None
    own_rules: bool = False


@dataclass(frozen=True, slots=True)
class PolicySource:
    """Makes rule sets.

    :param find: finds a file by its name, as ``ConfigOpts.find_file`` does; ``None`` if there is
        none.
    """

    options: PolicyOptions
    find: Callable[[str], str | None] = field(repr=False)

    @classmethod
    def of(cls, conf: Any) -> PolicySource:
        """Make the source of a loaded configuration."""
        group = conf.oslo_policy
        location = conf.get_location("policy_file", "oslo_policy").location
        options = PolicyOptions(
            group.policy_file,
            location.is_user_controlled,
            tuple(group.policy_dirs),
            group.policy_default_rule,
            group.enforce_new_defaults,
            conf.admin_role,
            conf.property_protection_rule_format == "policies",
        )
        return cls(options, conf.find_file)

    def thd_stamp(self) -> Stamp:
        """Look whether the files are the ones that they were."""
        return _thd_stamp(self._thd_paths())

    def thd_load(self) -> RuleSet:
        """Read the files.

        :raises ConfigError: a file is missing, or something in it cannot be used.
        """
        paths = self._thd_paths()
        # Before they are read: what changes meanwhile is then read once more.
        stamp = _thd_stamp(paths)
        named = self.options.file_is_named
        if named and self.find(self.options.policy_file) is None:
            raise ConfigError(
                f"[oslo_policy]policy_file = {shorten(self.options.policy_file)}: there is no such"
                " file, neither there nor beside the configuration files nor in the usual places."
            )
        files = [thd_read(path) for path in paths]
        merged = merge(
            [rule for file in files for rule in file.rules],
            default_rule=self.options.default_rule,
            new_defaults_only=self.options.new_defaults_only,
            owner_checks=not self.options.new_defaults_only or any(file.is_json for file in files),
            admin_role=self.options.admin_role,
            own_rules=self.options.own_rules,
        )
        return RuleSet(
            merged.checks,
            self.options.default_rule,
            warnings=(*self._told_of_old_file(paths), *merged.warnings),
            files=paths,
            stamp=stamp,
        )

    def _thd_paths(self) -> tuple[str, ...]:
        options = self.options
        found = self.find(options.policy_file)
        if found is None and not options.file_is_named:
            found = self.find(OLD_FILE)
        paths = [] if found is None else [found]
        for name in options.policy_dirs:
            directory = self.find(name)
            if directory is not None and os.path.isdir(directory):
                paths += _thd_files_of(directory)
        return tuple(paths)

    def _told_of_old_file(self, paths: tuple[str, ...]) -> list[str]:
        if self.options.file_is_named or not paths or Path(paths[0]).name != OLD_FILE:
            return []
        return [
            f"There is no {self.options.policy_file}, so the policy rules are those of {paths[0]},"
            " the default name of old. Name the file in [oslo_policy]policy_file, or better turn"
            " it into YAML, checking for each rule whether the new default does."
        ]


def _thd_files_of(directory: str) -> list[str]:
    try:
        names = sorted(os.listdir(directory))
    except OSError as error:
        raise ConfigError(
            f"Policy directory {directory}: cannot be read: {(error.strerror or '').lower()}."
        ) from None
    paths = [os.path.join(directory, name) for name in names if not name.startswith(".")]
    return [path for path in paths if os.path.isfile(path)]


def _thd_stamp(paths: tuple[str, ...]) -> Stamp:
    found = []
    for path in paths:
        try:
            status = os.stat(path)
        except OSError:
            # Gone this very moment, or out of reach: reading it will tell.
            found.append((path, 0, 0, 0))
        else:
            found.append((path, status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)
