"""The ``file`` driver: image data as files in one or several directories.

Each image is one file named by its id. A directory may be shared by many processes and, over a
network file system, by many machines: a file appears under its name only when it is complete and
durable, and nothing is ever overwritten.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from glance.config.options import store
from glance.stores import datadirs, file_options
from glance.stores.datadirs import DataDir
from glance.stores.errors import (
    BadLocation,
    BadStoreConfiguration,
    DataNotFound,
    DuplicateData,
    StoreError,
    StoreTimeout,
    WriteDisabled,
)
from glance.stores.holdings import FileHoldings
from glance.stores.interfaces import IListable, IStore
from glance.stores.partfile import PartFile, thd_sweep
from glance.stores.reader import FileReader, thd_delete_file, thd_open_file, thd_size_of
from glance.stores.threads import Pool, Threads
from glance.stores.writer import FileWriter

T = TypeVar("T")
_log = Logger()


@implementer(IStore, IListable)
class FileStore:
    """A store of files.

    A fault in the configuration does not keep it from reading what it can find: ``start`` reports
    the fault, and from then on the store only refuses to write.

    :param store_id: the operator's name for it.
    :param section: its values; an ``is_set(name)`` on it tells what the operator set.
    :param pool: runs the blocking calls, for tests.
    """

    driver = "file"
    schemes = datadirs.SCHEMES

    def __init__(self, store_id: str, section: Any, reactor: Any, pool: Pool | None = None) -> None:
        self.store_id = store_id
        self.description: str | None = getattr(section, "store_description", None)
        self.weight: int = getattr(section, "weight", None) or 0
        self.writable = False
        #: Whether directories that are missing are made.
        self.makes_directories = True
        self._prepared = self._probing = False
        self._group = getattr(section, "group", store_id)
        self._fault: BadStoreConfiguration | None = None
        self._perm = 0
        self._dirs: list[DataDir] = []
        self._places: dict[str, str] = {}
        self._metadata: list[dict[str, Any]] = []
        self._metadata_file: str | None = section.filesystem_store_metadata_file
        self._direct = bool(getattr(section, "filesystem_store_direct_io", True))
        self._thin = bool(section.filesystem_thin_provisioning)
        self._chunk_size: int = section.filesystem_store_chunk_size
        is_set = getattr(section, "is_set", lambda name: False)
        self._several = bool(section.filesystem_store_datadirs)
        try:
            self._dirs = datadirs.parse(
                self._group,
                section.filesystem_store_datadir,
                section.filesystem_store_datadirs,
                is_set("filesystem_store_datadir"),
            )
            self._perm = file_options.parse_perm(self._group, section.filesystem_store_file_perm)
        except BadStoreConfiguration as e:
            self._fault = e
        self._places = {d.path: d.path for d in self._dirs}
        self._threads = Threads(
            reactor,
            store_id,
            section.filesystem_store_thread_pool_size,
            section.filesystem_store_timeout,
            section.filesystem_store_threadpool_threshold,
            pool,
        )

    @property
    def directories(self) -> list[str]:
        """The store's directories as configured, those to be filled first in front."""
        return [d.path for d in self._dirs]

    def start(self) -> Deferred[None]:
        """Create missing directories, where that is wanted, and check that they can be used.

        :raises BadStoreConfiguration: they cannot; the store reads, but does not write.
        """
        self._threads.start()
        return self._prepare()

    def _prepare(self) -> Deferred[None]:
        def ready(places: dict[str, str]) -> None:
            self._prepared = True
            self._places.update(places)
            if self._fault is not None:
                raise self._fault
            self.writable = True

        return self._threads.run(self._thd_prepare).addCallback(ready)

    def _thd_prepare(self) -> dict[str, str]:
        option = "filesystem_store_datadirs" if self._several else "filesystem_store_datadir"
        try:
            for datadir in self._dirs:
                if not self.makes_directories:
                    datadirs.thd_check_there(self._group, option, datadir)
                datadirs.thd_prepare(self._group, option, datadir, self._perm)
            if self._metadata_file:
                self._metadata = self._thd_read_metadata(self._metadata_file)
        except BadStoreConfiguration as e:
            self._fault = self._fault or e
        return {place: datadirs.thd_real(place) for place in self.directories}

    def _thd_read_metadata(self, path: str) -> list[dict[str, Any]]:
        try:
            with open(path, encoding="utf-8") as file:
                return file_options.parse_metadata(self._group, file.read())
        except (OSError, UnicodeDecodeError) as e:
            raise BadStoreConfiguration(
                f"[{self._group}] filesystem_store_metadata_file: {path} cannot be read: {e}"
            ) from e

    def stop(self) -> Deferred[None]:
        """Let the threads end."""
        self.writable = False
        return self._threads.stop()

    def properties(self) -> Mapping[str, Any]:
        """Return the directories and how files are written."""
        places = self.directories
        return {
            "data_dir": places if self._several else "".join(places),
            "chunk_size": self._chunk_size,
            "thin_provisioning": self._thin,
        }

    def open_writer(self, image_id: str, size: int | None) -> Deferred[FileWriter]:
        """Begin a file in the best directory that it fits into."""
        if not self._prepared:
            # The store did not answer when it was started; it may now.
            again = self._prepare()
            again.addErrback(lambda f: f.trap(BadStoreConfiguration) and None)
            return again.addCallback(lambda _: self.open_writer(image_id, size))
        if not self.writable:
            return fail(WriteDisabled("The store is configured wrongly and takes no images."))
        if not datadirs.plain_name(image_id):
            return fail(BadLocation("The image id cannot be used as a file name."))
        opening = self._threads.run(self._thd_open_part, image_id, size, late=PartFile.thd_discard)

        def opened(part: PartFile) -> FileWriter:
            metadata = file_options.metadata_for(
                os.path.join(part.directory, part.name), self._metadata
            )
            url = datadirs.url_of(part.directory, part.name)
            return FileWriter(self._threads, part, url, metadata)

        return opening.addCallback(opened)

    def _thd_open_part(self, image_id: str, size: int | None) -> PartFile:
        if any(os.path.lexists(os.path.join(d.path, image_id)) for d in self._dirs):
            raise DuplicateData("The store holds data of that name already.")
        error: StoreError | None = None
        for place in datadirs.choose(datadirs.thd_free(self._dirs), size):
            part = PartFile(place.path, image_id, self._perm, self._direct, self._thin)
            try:
                return part.thd_open()
            except DuplicateData:
                raise
            except StoreError as e:
                # One broken disk is no reason to refuse what another can take.
                _log.error("{path} takes no files: {error}", path=place.path, error=e.message)
                error = error or e
        assert error is not None
        raise error

    def open_reader(self, url: str) -> Deferred[FileReader]:
        """Open the file of a URL."""
        opening = self._at(url, thd_open_file, late=lambda found: os.close(found[0]))
        return opening.addCallback(lambda found: FileReader(self._threads, *found))

    def size_of(self, url: str) -> Deferred[int]:
        """Return the length of the file of a URL."""
        return self._at(url, thd_size_of)

    def delete(self, url: str) -> Deferred[None]:
        """Delete the file of a URL."""
        return self._at(url, thd_delete_file)

    def _at(
        self, url: str, fn: Callable[[str, str], T], late: Callable[[T], Any] | None = None
    ) -> Deferred[T]:
        try:
            pairs = datadirs.split_url(url)
        except BadLocation as e:
            return fail(e)

        def thd_at() -> T:
            places = {*self._places, *self._places.values()}
            error: StoreError = BadLocation("The location is not one of a file in this store.")
            for directory, name in pairs:
                # What the operator configured may be reached through a link, or may once have
                # been; the file's own name is never followed.
                if directory not in places and datadirs.thd_real(directory) not in places:
                    continue
                try:
                    return fn(directory, name)
                except DataNotFound as e:
                    error = e
            raise error

        return self._threads.run(thd_at, late=late)

    def probe(self) -> Deferred[None]:
        """Check that the directories can be used; one that hangs is not asked again meanwhile."""
        if self._fault is not None:
            return fail(StoreError(str(self._fault)))
        if self._probing:
            return fail(StoreTimeout("The store has not answered since it was last asked."))
        self._probing = True

        def settled() -> None:
            self._probing = False

        return self._threads.run(datadirs.thd_probe, self._dirs, settled=settled)

    def owns(self, url: str) -> bool:
        """Tell whether a URL lies directly inside one of the directories."""
        try:
            pairs = datadirs.split_url(url)
        except BadLocation:
            return False
        places = {*self._places, *self._places.values()}
        return any(directory in places for directory, _ in pairs)

    def url_for(self, image_id: str) -> list[str]:
        """List where a file for this image could stand."""
        return [datadirs.url_of(d.path, image_id) for d in self._dirs]

    def holdings(self) -> FileHoldings:
        """Return what tells of the files in the directories."""
        return FileHoldings(self._threads, self.directories)

    def sweep(self) -> Deferred[int]:
        """Remove the temporary files of dead writers."""

        def thd_sweep_all() -> int:
            return sum(thd_sweep(d.path) for d in self._dirs)

        return self._threads.run(thd_sweep_all, timeout=0)


def options() -> list[Any]:
    """Return the options of the driver."""
    return list(store.file_options())


def make(store_id: str, section: Any, reactor: Any) -> FileStore:
    """Make a store from its section of the configuration; faults are told by ``start``."""
    return FileStore(store_id, section, reactor)
