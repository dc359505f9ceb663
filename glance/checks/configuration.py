"""What stands in the configuration files and should not: options that are gone, old or misspelt."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches

from oslo_config import cfg

from glance.checks import former_options
from glance.checks.results import Finding, doubt, fault, note
from glance.checks.setting import Setting
from glance.config.files import Place, normal
from glance.config.options import identity, store
from glance.config.programs import PROGRAMS, search_directories

_OWNER = "owner_is_tenant"
_FALSE = frozenset({"false", "no", "off", "0"})


@dataclass
class Known:
    """Which options there are, by their sections' names in the form of ``files.normal``.

    :param current: sections, and the options of each.
    :param former: present section and option by the former ones.
    :param stores: sections that hold options of stores.
    :param open: sections that take whatever a driver of a third party does.
    """

    current: dict[str, dict[str, cfg.Opt]] = field(default_factory=lambda: defaultdict(dict))
    former: dict[tuple[str, str], tuple[str, cfg.Opt]] = field(default_factory=dict)
    stores: set[str] = field(default_factory=set)
    open: set[str] = field(default_factory=set)

    def add(self, group: str, opts: Iterable[cfg.Opt]) -> None:
        """Add options of a group."""
        for opt in opts:
            self.current[normal(group)][opt.dest] = opt
            for old in opt.deprecated_opts:
                place = normal(old.group or group), old.name or opt.dest
                self.former[place] = (group, opt)


def known_options(setting: Setting) -> Known:
    """Return all options that a program of ours reads, those of configured stores included."""
    known = Known()
    for program in PROGRAMS.values():
        for group, opt in program.declared():
            known.add(group, [opt])
    section = setting.conf[identity.GROUP].auth_section
    if section:
        known.add(section, identity.auth_options(section))
    backends = setting.conf.enabled_backends or {}
    for store_id, driver in {"glance_store": "", "backend_defaults": "", **backends}.items():
        known.stores.add(normal(store_id))
        if store_id != "glance_store":
            known.add(store_id, store.backend_options())
        if driver in store.DRIVER_OPTIONS:
            known.add(store_id, store.DRIVER_OPTIONS[driver]())
        elif driver:
            known.open |= {normal(store_id), "backend_defaults"}
    for options in store.DRIVER_OPTIONS.values():
        known.add("backend_defaults", options())
    return known


def thd_options(setting: Setting) -> Iterator[Finding]:
    """Look for options in the files that nothing reads, that are going away, or have new names."""
    yield _told_files(setting)
    known = known_options(setting)
    for section, name, place in setting.loaded.places():
        yield from judge(known, section, name, place)


def _told_files(setting: Setting) -> Finding:
    files = setting.loaded.config_files
    if files:
        return note(f"Read: {', '.join(files)}.")
    looked = ", ".join(str(path) for path in search_directories())
    return note(
        f"No configuration file was found in {looked}, so this is about a service that is started "
        f"without any, which keeps everything in {setting.loaded.state_dir}."
    )


def judge(known: Known, section: str, name: str, place: Place) -> Iterator[Finding]:
    """Judge one line of a file."""
    written = f"{place}: [{section}]{name}"
    opt = known.current.get(section, {}).get(name)
    if opt is not None:
        if opt.deprecated_for_removal:
            yield doubt(f"{written} is going away. {opt.deprecated_reason or ''}".strip())
        return
    if (section, name) in known.former:
        group, opt = known.former[section, name]
        yield doubt(f"{written} is an old name; it is [{group}]{opt.dest} now.")
        return
    advice = former_options.advice(section, name, of_store=section in known.stores)
    if advice is not None:
        yield doubt(f"{written} has no effect: {advice}.")
    elif section not in known.current:
        yield doubt(
            f"{written} has no effect: no program and no store of enabled_backends has a section "
            f"[{section}].{_meant(section, known.current)}"
        )
    elif section not in known.open:
        elsewhere = [group for group, opts in known.current.items() if name in opts]
        hint = _meant(name, known.current[section])
        if elsewhere and not hint:
            hint = f" Should it stand in [{elsewhere[0]}]?"
        yield doubt(f"{written} has no effect: there is no such option.{hint}")


def _meant(word: str, words: Iterable[str]) -> str:
    close = get_close_matches(word, words, n=1, cutoff=0.75)
    return f" Did you mean {close[0]}?" if close else ""


def thd_owner_is_tenant(setting: Setting) -> Iterator[Finding]:
    """Look whether images are expected to belong to users, which they cannot any more."""
    value = os.environ.get("OS_DEFAULT__OWNER_IS_TENANT", setting.written("DEFAULT", _OWNER))
    if value is not None and value.strip().lower() in _FALSE:
        yield fault(
            "[DEFAULT]owner_is_tenant is false, but images belong to projects: who owns one by "
            "user id would lose it. Change the owner of every image from the user to the user's "
            "project, then remove the option."
        )


def thd_sheepdog(setting: Setting) -> Iterator[Finding]:
    """Look whether the configuration has a store of the driver that was removed."""
    conf = setting.conf
    backends = conf.enabled_backends or {}
    # The id is what release 33 looked at; the driver is what counts.
    named = [key for key, driver in backends.items() if "sheepdog" in (key, driver)]
    if named:
        yield fault(
            f"[DEFAULT]enabled_backends has a sheepdog store ({', '.join(named)}); the driver was "
            "removed. Move its images to another store with the release that still has it."
        )
    elif "sheepdog" in conf.glance_store.stores:
        yield fault(
            "[glance_store]stores names sheepdog, whose driver was removed. Move its images to "
            "another store with the release that still has it."
        )
