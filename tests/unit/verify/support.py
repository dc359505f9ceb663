"""A catalogue, file stores on a disk, and a verification of them whose work is done at once."""

from __future__ import annotations

import hashlib
import os
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import fastjsonschema
import orjson
from sqlalchemy import update
from twisted.internet.defer import Deferred

from glance.db import images
from glance.db.tables import image_locations
from glance.domain.image import Image, Location, is_readable
from glance.stores.errors import BadLocation, UnknownStore
from glance.stores.file import FileStore
from glance.stores.threads import InlinePool
from glance.transfers.hashing import Hashes
from glance.verify.copies import Copies, Rate
from glance.verify.progress import Progress
from glance.verify.report import Report
from glance.verify.settings import Settings, Tools
from glance.verify.state import State
from glance.verify.verification import Verification
from tests.unit.stores.doubles import file_section
from tests.unit.transfers.doubles import US, CatalogueCase, InlineThreads
from tests.unit.verify.schema import REPORT

DATA = b"some data"

# Every report that any test makes is held to what is promised.
_CHECK = fastjsonschema.compile(REPORT)
DAY = 86400.0


class FileStores:
    """Some file stores."""

    multiple = True

    def __init__(self, *stores: Any) -> None:
        self._stores = {store.store_id: store for store in stores}

    def all(self) -> list[Any]:
        return list(self._stores.values())

    def get(self, store_id: str) -> Any:
        return self._stores[store_id]

    def for_url(self, url: str, store_id: str | None) -> Any:
        if not is_readable(url):
            raise BadLocation("It cannot be read.")
        if store_id not in self._stores:
            raise UnknownStore("There is none.")
        return self._stores[store_id]


class VerifyCase(CatalogueCase):
    """A test case with a catalogue, two stores ``one`` and ``two``, and what verifies them."""

    def setUp(self):
        super().setUp()
        place = TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = Path(os.path.realpath(place.name))
        self.stores = FileStores(self.make_store("one"), self.make_store("two"))
        self.state_file = str(self.root / "state")
        self.now = 1000 * DAY
        self.reactor.advance(1)
        #: Called before every look at a copy, with the image.
        self.before_looks: list[Any] = []

    def make_store(self, store_id):
        section = file_section(filesystem_store_datadir=str(self.root / store_id))
        store = FileStore(store_id, section, self.reactor, InlinePool())
        self.successResultOf(store.start())
        self.addCleanup(store.stop)
        return store

    # What there is.

    def path(self, store, name):
        return self.root / store / name

    def put(self, store, name, data=DATA, age=2 * DAY):
        path = self.path(store, name)
        path.write_bytes(data)
        os.utime(path, (self.now - age,) * 2)
        return path

    def whole(self, image_id, *stores, data=DATA, **fields):
        """Add an active image with a copy in each of some stores."""
        fields = {
            "status": "active",
            "size": len(data),
            "checksum": hashlib.md5(data).hexdigest(),
            "os_hash_algo": "sha256",
            "os_hash_value": hashlib.sha256(data).hexdigest(),
            **fields,
        }
        self.add_image(id=image_id, **fields)
        for store in stores:
            self.put(store, image_id, data)
            self.refer(image_id, store)

    def refer(self, image_id, store, name=None):
        url = f"file://{self.path(store, name or image_id)}"
        self.run_in_database(images.thd_add_location, image_id, Location(url, {"store": store}))

    def get(self, image_id) -> Image:
        from glance.domain.viewer import Viewer

        return self.run_in_database(images.thd_get, image_id, Viewer(is_admin=True))

    def set_locations(self, image_id, **values):
        table = image_locations
        statement = update(table).where(table.c.image_id == image_id).values(**values)
        self.run_in_database(lambda connection: connection.execute(statement) and None)

    def files(self):
        """Return all files that the stores have, with their data."""
        return {
            str(path.relative_to(self.root)): path.read_bytes()
            for store in ("one", "two")
            for path in (self.root / store).rglob("*")
            if path.is_file()
        }

    # The verification.

    def begin(self, kept=True, **settings):
        """Make a verification, and what it works with."""
        settings = Settings(**{"parallel": 1, **settings})
        state = State(self.reactor, self.state_file if kept else None)
        state._database._threads = InlineThreads()
        state.thd_open()
        self.successResultOf(Deferred.fromCoroutine(state.load()))
        self.progress = StringIO()
        make_hashes = None
        if settings.hashes:

            def make_hashes(algorithm):
                return Hashes(self.reactor, InlineThreads(), algorithm)

        copies = Copies(
            self.stores,
            self.reactor,
            make_hashes,
            "sha256",
            Rate(self.reactor, 0),
            lambda count: None,
        )
        look = copies.look

        def hooked(image, location):
            for hook in self.before_looks:
                hook(image)
            return look(image, location)

        copies.look = hooked
        tools = Tools(
            self.database,
            self.stores,
            state,
            copies,
            Progress(self.reactor, self.progress),
            settings,
            US,
            self.reactor,
            lambda: self.now,
        )
        subject = {"hashes": settings.hashes}
        return Verification(tools, subject), tools

    def end(self, tools):
        tools.state._database._thd_close()
        self.successResultOf(Deferred.fromCoroutine(tools.state.close()))

    def verify(self, **settings):
        """Verify, and return the report."""
        verification, tools = self.begin(**settings)
        try:
            self.result(verification.run())
            report = Report(tools.state, tools.settings, self.stores, resumed=verification.resumed)
            self.result(report.count())
            self.open, self.errors = report.open, report.errors
            text, json = StringIO(), StringIO()
            self.result(report.write_text(text.write))
            self.result(report.write_json(json.write))
            self.text = text.getvalue()
            report = orjson.loads(json.getvalue())
            _CHECK(report)
            return report
        finally:
            self.end(tools)

    def found(self, **settings):
        """Verify, and return kind, what it is about, and action of what was found."""
        report = self.verify(**settings)
        return [
            (each["kind"], each["object"] or each["image"], each["repair"]["action"])
            for each in report["findings"]
        ]
