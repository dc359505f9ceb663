"""What a download is read from, when it has to go on elsewhere."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from glance.api.image_data import _Source
from glance.stores.errors import DataNotFound, StoreError


class Reader:
    """Notes that it was closed."""

    closed = False

    def close(self) -> None:
        self.closed = True


class SourceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first, self.second = Reader(), Reader()

    def source(self, found: object) -> _Source:
        return _Source(self.first, 5, lambda: succeed(found))  # type: ignore[arg-type]

    def test_elsewhere(self) -> None:
        source = self.source((self.second, 5))
        reader = self.successResultOf(Deferred.fromCoroutine(source.elsewhere()))
        self.assertIs(reader, self.second)
        self.assertEqual((self.first.closed, self.second.closed), (True, False))
        source.close()
        self.assertTrue(self.second.closed)

    def test_data_of_another_length_is_never_gone_on_with(self) -> None:
        source = self.source((self.second, 6))
        self.failureResultOf(Deferred.fromCoroutine(source.elsewhere()), StoreError)
        source.close()
        self.assertTrue(self.second.closed)

    def test_no_data_any_more(self) -> None:
        source = self.source(None)
        self.failureResultOf(Deferred.fromCoroutine(source.elsewhere()), DataNotFound)
        self.assertTrue(self.first.closed)
        source.close()
