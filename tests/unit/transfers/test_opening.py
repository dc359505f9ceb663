"""Opening an image's data: which copy, and what is said when there is none."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.image import ACTIVE, Image, Location
from glance.stores.errors import DataNotFound, RemoteUnavailable, StoreError, UnknownStore
from glance.transfers.opening import open_data


class Reader:
    def __init__(self, name, size):
        self.name = name
        self.size = size
        self.closed = False

    def close(self):
        self.closed = True


class Stores:
    """Stores of one location each: a length, or what is wrong with it."""

    def __init__(self, **found):
        self.found = found
        self.opened = []
        self.readers = []

    def by_preference(self, locations, preferred):
        return sorted(locations, key=lambda one: one.url not in preferred)

    def for_url(self, url, store_id):
        if url not in self.found:
            raise UnknownStore("no such store")
        return self

    def open_reader(self, url):
        self.opened.append(url)
        size = self.found[url]
        if isinstance(size, Exception):
            return fail(size)
        self.readers.append(Reader(url, size))
        return succeed(self.readers[-1])


def image(*urls, size=5):
    return Image("an-image", ACTIVE, size=size, locations=[Location(url) for url in urls])


class OpeningTests(SynchronousTestCase):
    def opened(self, stores, image, *args, **more):
        opening = Deferred.fromCoroutine(open_data(stores, image, *args, **more))
        found = self.successResultOf(opening)
        return None if found is None else (found[0].name, found[1])

    def test_first_one(self):
        stores = Stores(a=5, b=5)
        self.assertEqual(self.opened(stores, image("a", "b")), ("a", 5))
        self.assertEqual(self.opened(stores, image("a", "b"), ["b"]), ("b", 5))

    def test_first_one_that_is_whole(self):
        stores = Stores(a=RemoteUnavailable("away"), b=4, c=5)
        self.assertEqual(self.opened(stores, image("a", "b", "unknown", "c")), ("c", 5))
        self.assertTrue(stores.readers[0].closed)

    def test_another_one_at_each_attempt(self):
        stores = Stores(a=5, b=5, c=5)
        found = [self.opened(stores, image("a", "b", "c"), attempt=n)[0] for n in range(5)]
        self.assertEqual(found, ["a", "b", "c", "a", "b"])
        # Those that have failed come last, but they come.
        stores = Stores(a=5, b=DataNotFound("gone"))
        self.assertEqual(self.opened(stores, image("a", "b"), attempt=1), ("a", 5))
        self.assertEqual(stores.opened, ["b", "a"])

    def test_length_that_only_one_side_knows(self):
        self.assertEqual(self.opened(Stores(a=5), image("a", size=None)), ("a", 5))
        self.assertEqual(self.opened(Stores(a=None), image("a")), ("a", 5))

    def test_no_data(self):
        self.assertIsNone(self.opened(Stores(), image()))
        self.assertIsNone(self.opened(Stores(), image(), attempt=3))
        self.assertIsNone(self.opened(Stores(a=DataNotFound("gone")), image("a")))

    def test_data_that_cannot_be_read(self):
        for stores, kind in (
            (Stores(a=RemoteUnavailable("away")), RemoteUnavailable),
            (Stores(a=None), StoreError),
        ):
            opening = Deferred.fromCoroutine(open_data(stores, image("a", size=None)))
            self.failureResultOf(opening, kind)
