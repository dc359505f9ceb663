"""The store in memory is a true store: what is tested with it holds for others."""

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.stores.contract import StoreContract
from tests.unit.transfers.doubles import MemoryStore


class TestMemoryStore(StoreContract, SynchronousTestCase):
    foreign_url = "memory:some/where"

    def make_store(self):
        return succeed(MemoryStore())

    def drive(self, test):
        self.successResultOf(Deferred.fromCoroutine(test))
