"""Which directories a file store has, which one takes the next image, and which URLs lie inside.

All but the functions named ``thd_…`` is pure, so that the rules, and above all the refusal of every
URL that points anywhere else, can be tested without a disk.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from twisted.logger import Logger

from glance.stores.errors import BadLocation, BadStoreConfiguration, StoreError, StoreFull

SCHEMES = ("file", "filesystem")

_log = Logger()


@dataclass(frozen=True, slots=True)
class DataDir:
    """One directory of a store.

    :param path: as configured, absolute and normalised.
    :param priority: higher is filled first.
    """

    path: str
    priority: int = 0


def parse(
    group: str, datadir: str | None, datadirs: Sequence[str] | None, datadir_is_set: bool
) -> list[DataDir]:
    """Read the two directory options of a file store; return highest priority first.

    :param group: section of the configuration, for messages.
    :param datadir: ``filesystem_store_datadir``.
    :param datadirs: ``filesystem_store_datadirs``, each ``path[:priority]``.
    :param datadir_is_set: whether the operator set ``datadir``. The option has a default, so beside
        ``datadirs`` only a value of the operator's own is a contradiction.
    :raises BadStoreConfiguration: the options contradict each other or cannot be read.
    """
    if datadirs:
        if datadir and datadir_is_set:
            raise BadStoreConfiguration(
                f"[{group}] sets both filesystem_store_datadir and filesystem_store_datadirs; "
                "remove one of them."
            )
        return sorted(_several(group, datadirs), key=lambda d: -d.priority)
    if not datadir or not datadir.strip():
        raise BadStoreConfiguration(
            f"[{group}] filesystem_store_datadir is empty; name the directory for image files."
        )
    return [DataDir(_absolute(group, "filesystem_store_datadir", datadir))]


def _several(group: str, values: Iterable[str]) -> list[DataDir]:
    option = "filesystem_store_datadirs"
    found: dict[str, int] = {}
    for value in values:
        path, colon, text = value.strip().rpartition(":")
        if not colon:
            path, text = text, "0"
        try:
            priority = int(text)
        except ValueError:
            raise BadStoreConfiguration(
                f"[{group}] {option}: the priority in {value!r} is not a number; "
                "write path or path:number."
            ) from None
        path = _absolute(group, option, path)
        if path not in found:
            found[path] = priority
        elif found[path] == priority:
            _log.warn(
                "[{group}] {option} lists {path} twice.", group=group, option=option, path=path
            )
        else:
            raise BadStoreConfiguration(
                f"[{group}] {option} lists {path} with two priorities; keep one of them."
            )
    return [DataDir(path, priority) for path, priority in found.items()]


def _absolute(group: str, option: str, path: str) -> str:
    path = path.strip()
    if not path.startswith("/"):
        raise BadStoreConfiguration(f"[{group}] {option}: {path!r} is not an absolute path.")
    # normpath leaves two leading slashes alone, as POSIX allows; here they mean one.
    return "/" + os.path.normpath(path).lstrip("/")


def choose(candidates: Sequence[tuple[DataDir, int]], size: int | None) -> list[DataDir]:
    """List the directories that can take an object, the best first.

    :param candidates: directories with their free bytes.
    :param size: of the object, ``None`` if unknown.
    :raises StoreFull: it fits into none.
    """
    need = 1 if size is None else size
    fitting = [(d, free) for d, free in candidates if free >= need]
    if not fitting:
        raise StoreFull("The store has not enough room left for the image.")
    fitting.sort(key=lambda pair: (-pair[0].priority, -pair[1]))
    return [d for d, _ in fitting]


def plain_name(name: str) -> bool:
    """Tell whether a name can be that of a stored object: one path component, not hidden."""
    return bool(name) and not name.startswith(".") and "/" not in name and "\0" not in name


def url_of(directory: str, name: str) -> str:
    """Return the URL of an object. Nothing in it is quoted: that is the form adopted rows have."""
    return f"file://{directory.rstrip('/')}/{name}"


def split_url(url: str) -> list[tuple[str, str]]:
    """Take a URL apart into the ``(directory, name)`` pairs that it may mean.

    The path stands in the URL as it is; one that was percent-encoded all the same is understood
    too, hence up to two pairs. Both are held to the same rules.

    :raises BadLocation: no object of a file store can stand there. The message does not repeat
        the URL.
    """
    scheme, separator, raw = url.partition("://")
    pairs: list[tuple[str, str]] = []
    # What follows the slashes is a path from the root at once: a host part would stand before it.
    if separator and scheme.lower() in SCHEMES and raw.startswith("/"):
        for path in dict.fromkeys((raw, unquote(raw))):
            directory, slash, name = path.rpartition("/")
            parts = directory.split("/")
            # No steps up and none in place: nothing that wrote such a URL needs them.
            if slash and plain_name(name) and not {".", ".."} & {*parts} and _encodable(path):
                pairs.append(("/" + "/".join(filter(None, parts)), name))
    if not pairs:
        raise BadLocation("The location is not one of a file in this store.")
    return pairs


def _encodable(path: str) -> bool:
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def thd_real(directory: str) -> str:
    """Return a directory's path with symbolic links resolved."""
    return os.path.realpath(directory)


def thd_free(dirs: Iterable[DataDir]) -> list[tuple[DataDir, int]]:
    """Ask each directory's file system for its free bytes; one that does not answer is left out.

    :raises StoreError: none answers.
    """
    found = []
    error: OSError | None = None
    for datadir in dirs:
        try:
            stats = os.statvfs(datadir.path)
        except OSError as e:
            error = e
            _log.error("No free space known of {path}: {error}", path=datadir.path, error=e)
        else:
            found.append((datadir, stats.f_bavail * stats.f_bsize))
    if not found:
        raise StoreError("No directory of the store can be used.") from error
    return found


def thd_probe(dirs: Iterable[DataDir]) -> None:
    """Check that the directories still are there, on file systems that take files.

    :raises StoreError: one is not, or cannot be written.
    """
    for datadir in dirs:
        path = datadir.path
        try:
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
        except OSError as e:
            raise StoreError(f"{path} cannot be used: {e.strerror}.") from e
        if read_only or not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
            raise StoreError(f"{path} cannot be written.")


def thd_check_there(group: str, option: str, datadir: DataDir) -> None:
    """Check that a directory exists.

    :raises BadStoreConfiguration: it does not.
    """
    if not os.path.isdir(datadir.path):
        raise BadStoreConfiguration(
            f"[{group}] {option}: {datadir.path} is not there. Is it mounted? glance-api makes it "
            "when it starts first."
        )


def thd_prepare(group: str, option: str, datadir: DataDir, perm: int) -> None:
    """Create a directory if it is missing and check that files can be made in it.

    :param perm: mode of the files to come; who may read them must be able to enter the directory.
    :raises BadStoreConfiguration: it cannot be created or written.
    """
    path = datadir.path
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as e:
        raise BadStoreConfiguration(
            f"[{group}] {option}: {path} cannot be created: {e.strerror}. Create it and give it "
            "to the user that runs the service."
        ) from e
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise BadStoreConfiguration(
            f"[{group}] {option}: {path} cannot be written. Give it to the user that runs the "
            "service."
        )
    enter = (0o010 if perm & 0o070 else 0) | (0o001 if perm & 0o007 else 0)
    mode = os.stat(path).st_mode & 0o7777
    if mode & enter != enter:
        try:
            os.chmod(path, mode | enter)
        except OSError as e:
            _log.warn(
                "[{group}] filesystem_store_file_perm lets others read the files, but {path} "
                "cannot be opened to them: {error}",
                group=group,
                path=path,
                error=e,
            )
