"""The manual's example of a store driver keeps every promise that a driver makes."""

import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

import twisted.plugins
from glance.config import load
from glance.stores import drivers
from glance.stores.registry import Stores
from tests.unit.stores.contract import StoreContract

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples"

CONFIGURATION = """
[DEFAULT]
enabled_backends = ram:memory
[database]
connection = sqlite://
[glance_store]
default_backend = ram
[ram]
store_description = gone with the process
memory_store_limit = 12345
"""


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory):
    """The example as its installation would leave it."""
    place = tmp_path_factory.mktemp("acme")
    shutil.copytree(EXAMPLES, place, dirs_exist_ok=True)
    sys.path.insert(0, str(place))
    twisted.plugins.__path__.append(str(place / "twisted" / "plugins"))
    yield place
    twisted.plugins.__path__.pop()
    sys.path.remove(str(place))
    for name in [name for name in sys.modules if name.split(".")[0] == "acme"]:
        del sys.modules[name]


class MemoryStoreContract(StoreContract, SynchronousTestCase):
    foreign_url = "file:///etc/passwd"

    def drive(self, test):
        return self.successResultOf(Deferred.fromCoroutine(test))

    def make_store(self):
        store = drivers.find("memory").make("ram", SimpleNamespace(memory_store_limit=2**30), None)
        self.successResultOf(store.start())
        self.addCleanup(store.stop)
        return succeed(store)


def test_the_configuration_reaches_the_driver(tmp_path):
    path = tmp_path / "glance-api.conf"
    path.write_text(CONFIGURATION)
    stores = Stores(load("glance-api", ["--config-file", str(path)]).conf, Clock())
    assert stores.default.driver == "memory"
    assert stores.default.description == "gone with the process"
    assert stores.default.limit == 12345
