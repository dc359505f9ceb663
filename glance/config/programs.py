"""The programs: which configuration files they read and which options they have.

A new program is a new row of :data:`PROGRAMS`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from glance.config.options import (
    api,
    cache,
    control,
    cors,
    database,
    general,
    healthcheck,
    http,
    identity,
    importing,
    limits,
    metadefs,
    policy,
    replicator,
    scrub,
    server,
    store,
    transfers,
)

Options = Mapping[str, Sequence[cfg.Opt]]


@dataclass(frozen=True, slots=True)
class Program:
    """What is particular to a program's configuration.

    :param name: as it is typed.
    :param summary: one sentence for ``--help``.
    :param files: names of its default configuration files without ``.conf``; later ones win.
    :param options: its declarations, by subject.
    :param cli: options of ``[DEFAULT]`` that its command line takes.
    :param embedded: whether it works without any configuration file, on a database of its own.
    :param catalogue: whether it cannot do without the catalogue's database.
    """

    name: str
    summary: str
    files: tuple[str, ...]
    options: tuple[Options, ...]
    cli: tuple[str, ...]
    embedded: bool = False
    catalogue: bool = True

    def declared(self) -> Iterator[tuple[str, cfg.Opt]]:
        """Yield every option with its group."""
        for subject in self.options:
            for group, opts in subject.items():
                for opt in opts:
                    yield group, opt

    def command_line(self) -> list[cfg.Opt]:
        """Return the declarations of what the command line takes, in the order of ``cli``."""
        found = {opt.dest: opt for group, opt in self.declared() if group == "DEFAULT"}
        return [found[name] for name in self.cli]


def only(options: Options, *names: str) -> Options:
    """Return some of a subject's options, for a program that needs no others of it."""
    return {
        group: [opt for opt in opts if opt.dest in names]
        for group, opts in options.items()
        if any(opt.dest in names for opt in opts)
    }


PROGRAMS: dict[str, Program] = {
    program.name: program
    for program in (
        Program(
            name="glance-api",
            summary="Serve the Image API. Without any configuration file it listens on "
            "127.0.0.1:9292 and keeps a SQLite database and the image files in the state "
            "directory.",
            # The rules for fetching have had a file of their own.
            files=("glance-image-import", "glance", "glance-api"),
            options=(
                general.OPTIONS,
                server.OPTIONS,
                http.OPTIONS,
                api.OPTIONS,
                transfers.OPTIONS,
                identity.OPTIONS,
                limits.OPTIONS,
                policy.OPTIONS,
                cors.OPTIONS,
                healthcheck.OPTIONS,
                database.OPTIONS,
                store.OPTIONS,
                importing.OPTIONS,
                cache.OPTIONS,
            ),
            cli=general.CLI + server.CLI,
            embedded=True,
        ),
        Program(
            name="glance-scrubber",
            summary="Delete the data of images that were deleted while delayed_delete was on, or "
            "restore such an image.",
            files=("glance", "glance-scrubber"),
            options=(
                general.OPTIONS,
                scrub.OPTIONS,
                transfers.OPTIONS,
                database.OPTIONS,
                store.OPTIONS,
                importing.OPTIONS,
            ),
            cli=general.CLI + scrub.CLI,
            embedded=True,
        ),
        Program(
            name="glance-manage",
            summary="Manage the catalogue's database, and verify that the stores go with it.",
            files=("glance-api", "glance-manage"),
            options=(
                general.OPTIONS,
                database.OPTIONS,
                store.OPTIONS,
                importing.OPTIONS,
                only(api.OPTIONS, "hashing_algorithm"),
                metadefs.OPTIONS,
            ),
            cli=general.CLI,
            embedded=True,
        ),
        Program(
            name="glance-control",
            summary="Start, stop, reload and watch the servers. General options other than "
            "--config-file are passed on to the servers that are started.",
            files=("glance", "glance-control"),
            options=(general.OPTIONS, control.OPTIONS),
            cli=general.CLI + control.CLI,
        ),
    )
}

# What is checked is how the API is configured, so its files are read and its options known.
_API = PROGRAMS["glance-api"]
PROGRAMS["glance-status"] = Program(
    name="glance-status",
    summary="Check before an upgrade whether it will go well.",
    files=(*_API.files, "glance-status"),
    options=_API.options,
    cli=general.CLI,
    embedded=True,
)


# The cache is the API's, and where it lies stands in the API's files; those of the OpenStack Glance
# project's service had it in a file of the cache's own, which all of its programs share.
_CACHE_FILES = (*_API.files, "glance-cache")
_CACHE = (general.OPTIONS, cache.OPTIONS, database.OPTIONS)
#: Whoever removes copies has to know where what is no copy stands.
_CACHE_KEPT = (
    *_CACHE,
    only(
        store.OPTIONS,
        "enabled_backends",
        "stores",
        "filesystem_store_datadir",
        "filesystem_store_datadirs",
    ),
)
_CACHE_FILLED = (*_CACHE, transfers.OPTIONS, store.OPTIONS, importing.OPTIONS)

PROGRAMS |= {
    program.name: program
    for program in (
        Program(
            name="glance-cache",
            summary="Clean, prune and fill this node's image cache, again and again.",
            files=_CACHE_FILES,
            options=_CACHE_FILLED,
            cli=general.CLI,
            embedded=True,
        ),
        Program(
            name="glance-cache-cleaner",
            summary="Remove broken, abandoned and outdated copies from this node's image cache.",
            files=_CACHE_FILES,
            options=_CACHE_KEPT,
            cli=general.CLI,
            embedded=True,
            catalogue=False,
        ),
        Program(
            name="glance-cache-pruner",
            summary="Bring this node's image cache back to image_cache_max_size.",
            files=_CACHE_FILES,
            options=_CACHE_KEPT,
            cli=general.CLI,
            embedded=True,
            catalogue=False,
        ),
        Program(
            name="glance-cache-prefetcher",
            summary="Fetch what is queued into this node's image cache.",
            files=_CACHE_FILES,
            options=_CACHE_FILLED,
            cli=general.CLI,
            embedded=True,
        ),
    )
}

PROGRAMS["glance-replicator"] = Program(
    name="glance-replicator",
    summary="Copy the images of one image service into another, or to disk and back. Run "
    "'help <command>' for one of its commands: compare, dump, livecopy, load, size.",
    files=("glance", "glance-replicator"),
    options=(general.OPTIONS, replicator.OPTIONS),
    cli=general.CLI + replicator.CLI,
    catalogue=False,
)

#: What reads no configuration, and asks an image service over HTTP instead. Their modules have
#: parsers of their own (``make_parser``), and a ``SUMMARY``.
CLIENTS = ("glance-cache-manage",)


def search_directories() -> list[Path]:
    """Return the directories in which default configuration files are looked for."""
    home = os.path.expanduser("~")
    found = [Path(home, ".glance"), Path(home), Path("/etc/glance"), Path("/etc")]
    for variable in ("SNAP_COMMON", "SNAP"):
        if base := os.environ.get(variable):
            found.append(Path(base, "etc/glance"))
    return found


def find_defaults(
    program: Program, suffix: str, directories: Sequence[Path] | None = None
) -> list[str]:
    """Find default configuration files or directories.

    :param suffix: ``.conf`` or ``.conf.d``.
    :param directories: where to look; the first one that holds a name decides it.
    """
    if directories is None:
        directories = search_directories()
    found = []
    for name in program.files:
        candidates = (os.path.join(directory, f"{name}{suffix}") for directory in directories)
        # Unlike Path.exists this passes over directories that we may not look into.
        path = next(filter(os.path.exists, candidates), None)
        if path is not None:
            found.append(path)
    return found


def state_home() -> Path:
    """Return the state directory that is used when none is configured."""
    base = os.environ.get("XDG_STATE_HOME", "")
    # The XDG specification has relative paths ignored.
    root = Path(base) if os.path.isabs(base) else Path(os.path.expanduser("~"), ".local/state")
    return root / "glance"
