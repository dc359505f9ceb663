"""Which stores a configuration makes, and which of them answers for a location."""

import os
import tempfile
from types import SimpleNamespace

from oslo_config import cfg
from twisted.internet.defer import fail, succeed
from twisted.internet.task import Clock
from twisted.plugin import IPlugin, getPlugins
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from glance.domain.image import Location
from glance.stores import drivers, file, registry
from glance.stores.errors import (
    BadLocation,
    BadStoreConfiguration,
    FetchRefused,
    StoreError,
    StoreTimeout,
    UnknownStore,
    WriteDisabled,
)
from glance.stores.interfaces import IStoreFactory
from glance.stores.options import Section, register
from glance.stores.registry import Stores
from glance.stores.threads import InlinePool
from tests.unit.stores.test_threads import WarningsMixin


def configuration(text=""):
    """Load a configuration file of the given text."""
    conf = cfg.ConfigOpts()
    conf.register_opt(cfg.DictOpt("enabled_backends"))
    conf.register_opts(
        [
            cfg.StrOpt("default_backend"),
            cfg.ListOpt("stores", default=["file", "http"]),
            cfg.StrOpt("default_store", default="file"),
        ],
        group="glance_store",
    )
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as written:
        written.write(text)
        written.flush()
        conf(["--config-file", written.name], project="glance", prog="glance-api")
    return conf


SEVERAL = """
[DEFAULT]
enabled_backends = fast:file, cheap:file
[glance_store]
default_backend = cheap
[backend_defaults]
filesystem_store_file_perm = 640
filesystem_store_thread_pool_size = 3
[fast]
filesystem_store_datadir = {root}/fast
store_description = Fast disks
weight = 10
filesystem_store_file_perm = 600
[cheap]
filesystem_store_datadir = {root}/cheap
"""


class RegistryCase(WarningsMixin, SynchronousTestCase):
    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = place.name
        make = file.FileStore
        self.patch(file, "FileStore", lambda *args: make(*args, InlinePool()))

    def stores(self, text=SEVERAL):
        return Stores(configuration(text.format(root=self.root)), Clock())

    def refused(self, text, *words):
        with self.assertRaises(BadStoreConfiguration) as caught:
            self.stores(text)
        for word in words:
            self.assertIn(word, str(caught.exception))


class MultiStoreTests(RegistryCase):
    def test_stores(self):
        stores = self.stores()
        self.assertTrue(stores.multiple)
        self.assertEqual([s.store_id for s in stores.all()], ["fast", "cheap"])
        self.assertEqual(stores.default.store_id, "cheap")
        fast = stores.get("fast")
        self.assertEqual((fast.driver, fast.description, fast.weight), ("file", "Fast disks", 10))
        self.assertEqual(stores.get("cheap").description, None)
        self.assertEqual(fast.url_for("x"), [f"file://{self.root}/fast/x"])

    def test_what_looks_like_a_mistake_is_said(self):
        said = []
        self.patch(registry._log, "warn", lambda text, **more: said.append(text.format(**more)))
        self.stores()
        self.assertEqual(said, [])
        self.stores(
            SEVERAL.replace("[fast]", "[fsat]").replace("cheap:file", "cheap:file, web:http")
        )
        self.assertEqual([text.split(":")[0] for text in said], ["Store fast"])
        said.clear()
        self.stores(SEVERAL.replace("cheap:file", "web:http").replace("= cheap", "= web"))
        self.assertEqual(len(said), 1)
        self.assertIn("web can only be read", said[0])

    def test_unknown_store(self):
        stores = self.stores()
        self.assertRaises(UnknownStore, stores.get, "else")
        self.assertRaises(UnknownStore, stores.get, None)

    def test_defaults_stand_in_for_what_a_section_leaves_unset(self):
        made = {}

        def note(store_id, section, reactor):
            made[store_id] = section
            return SimpleNamespace(store_id=store_id, driver="file", schemes=("file",))

        self.patch(file, "make", note)
        self.stores()
        self.assertEqual(made["fast"].filesystem_store_file_perm, 600)
        self.assertEqual(made["cheap"].filesystem_store_file_perm, 640)
        self.assertEqual(made["fast"].filesystem_store_thread_pool_size, 3)
        self.assertEqual(made["fast"].filesystem_store_timeout, 0)

    def test_refusals(self):
        backends = "[DEFAULT]\nenabled_backends = {}\n[glance_store]\ndefault_backend = {}\n"
        option = "[DEFAULT] enabled_backends"
        self.refused(backends.format("os_glance_mine:file", "os_glance_mine"), option, "os_glance_")
        self.refused(backends.format("a:file,OS_Glance_x:file", "a"), option)
        self.refused(backends.format("a:floppy", "a"), option, "floppy", "a")
        default = "[glance_store] default_backend"
        self.refused(backends.format("a:file", "b"), default)
        self.refused("[DEFAULT]\nenabled_backends = a:file\n", default)

    def test_values_that_cannot_be_read(self):
        text = SEVERAL.replace("weight = 10", "weight = heavy")
        self.refused(text, "[fast]", "weight")

    def test_shared_directories_are_pointed_out(self):
        seen = self.warnings()
        self.stores(SEVERAL.replace("/cheap", "/fast"))
        self.assertEqual([(e["one"], e["other"]) for e in seen], [("fast", "cheap")])

    def test_location_with_a_known_store(self):
        stores = self.stores()
        url = f"file://{self.root}/fast/x"
        self.assertEqual(stores.for_url(url, "fast").store_id, "fast")
        self.assertEqual(stores.for_url("file:///elsewhere/x", "fast").store_id, "fast")

    def test_location_without_one(self):
        stores = self.stores()
        for store_id in (None, "gone"):
            found = stores.for_url(f"file://{self.root}/fast/x", store_id)
            self.assertEqual(found.store_id, "fast")
            for url in ("file:///secret/x", "rbd://secret"):
                with self.assertRaises(UnknownStore) as caught:
                    stores.for_url(url, store_id)
                self.assertNotIn("secret", str(caught.exception))

    def test_location_that_could_not_be_decrypted(self):
        stores = self.stores()
        for store_id in (None, "gone", "fast"):
            for text in ("c2VjcmV0", ""):
                with self.assertRaises(BadLocation) as caught:
                    stores.for_url(text, store_id)
                self.assertIn("metadata_encryption_key", str(caught.exception))
                self.assertNotIn("c2VjcmV0", str(caught.exception))
        good = Location(f"file://{self.root}/fast/x", {"store": "fast"})
        sealed = Location("c2VjcmV0", {"store": "fast"})
        self.assertEqual(stores.by_preference([sealed, good]), [good, sealed])


class SingleStoreTests(RegistryCase):
    CONF = "[glance_store]\nfilesystem_store_datadir = {root}/images\n"

    def test_default(self):
        stores = self.stores(self.CONF)
        self.assertFalse(stores.multiple)
        self.assertEqual([s.store_id for s in stores.all()], ["file", "http"])
        self.assertIs(stores.default, stores.get("file"))

    def test_absent_drivers_are_passed_over(self):
        stores = self.stores(self.CONF + "stores = rbd, file, http, filesystem\n")
        self.assertEqual([s.store_id for s in stores.all()], ["file", "http"])

    def test_default_store_is_a_scheme(self):
        stores = self.stores(self.CONF + "default_store = filesystem\n")
        self.assertEqual(stores.default.store_id, "file")

    def test_refusals(self):
        self.refused(self.CONF + "stores = file, floppy\n", "[glance_store] stores", "floppy")
        self.refused(self.CONF + "default_store = rbd\n", "[glance_store] default_store", "rbd")
        self.refused(self.CONF + "stores = http\n", "[glance_store] default_store")
        self.refused(
            self.CONF + "http_proxy_information = gopher:h:1\n",
            "[glance_store] http_proxy_information",
        )

    def test_locations_go_by_scheme(self):
        stores = self.stores(self.CONF)
        for url in ("file:///elsewhere/x", "FILESYSTEM:///x", f"file://{self.root}/images/x"):
            self.assertIs(stores.for_url(url, None), stores.default)
        self.assertIs(stores.for_url("file:///elsewhere/x", "was-multi"), stores.default)
        self.assertIs(stores.for_url("HTTPS://h/x", None), stores.get("http"))
        self.assertRaises(UnknownStore, stores.for_url, "rbd://x", None)
        error = self.failureResultOf(stores.default.open_reader("file:///etc/passwd"))
        error.trap(BadLocation, StoreError)

    def test_datadirs_alone_are_no_contradiction(self):
        text = "[glance_store]\nfilesystem_store_datadirs = {root}/a:5\n"
        text += "filesystem_store_datadirs = {root}/b\n"
        stores = self.stores(text)
        self.assertEqual(stores.default.directories, [f"{self.root}/a", f"{self.root}/b"])
        self.successResultOf(stores.start())
        self.assertTrue(stores.default.writable)

    def test_datadirs_and_datadir(self):
        stores = self.stores(self.CONF + "filesystem_store_datadirs = {root}/a\n")
        self.successResultOf(stores.start())
        self.failureResultOf(stores.default.open_writer("x", None), WriteDisabled)

    def test_new_locations(self):
        stores = self.stores(self.CONF)
        self.assertIs(stores.for_new("HTTP://h/x"), stores.get("http"))
        found = stores.placed("http://h/x", {"store": "file", "backend": "file", "k": "v"})
        self.assertEqual((found.url, found.metadata), ("http://h/x", {"k": "v"}))
        self.assertRaises(UnknownStore, stores.for_new, "rbd://secret")

    def test_rules_for_fetching_reach_the_driver(self):
        text = self.CONF + "[import_filtering_opts]\nallowed_ports = [8080]\n"
        store = self.stores(text).get("http")
        error = self.failureResultOf(store.size_of("http://h:80/x"), FetchRefused).value
        self.assertIn("allowed_ports", error.message)


WEB = (
    SEVERAL.replace("cheap:file", "cheap:file, web:http, mirror:http, os:http")
    + """
[web]
weight = 3
[mirror]
weight = 20
"""
)


class SeveralKindsTests(RegistryCase):
    """What concerns several stores at once."""

    def setUp(self):
        super().setUp()
        self.several = self.stores(WEB)
        self.fast = f"file://{self.root}/fast/x"
        self.cheap = f"file://{self.root}/cheap/x"

    def ordered(self, *locations):
        found = self.several.by_preference([Location(url, meta) for url, meta in locations])
        return [location.url for location in found]

    def test_copies_in_stores_of_greater_weight_come_first(self):
        order = self.ordered(
            ("http://gone/", {"store": "gone"}),
            (self.cheap, {"store": "cheap"}),
            ("http://web/", {"store": "web"}),
            ("rbd://nowhere", {}),
            (self.fast, {"backend": "fast"}),
            ("http://mirror/", {"store": "mirror"}),
            ("http://web/2", {"store": "web"}),
        )
        # A store that is gone: its copies are read through another of the kind.
        expected = ["http://mirror/", self.fast, "http://gone/", "http://web/", "http://web/2"]
        self.assertEqual(order, [*expected, self.cheap, "rbd://nowhere"])

    def test_rows_from_before_several_stores_count_by_their_url(self):
        self.assertEqual(self.ordered((self.cheap, {}), (self.fast, {})), [self.fast, self.cheap])

    def test_one_copy_is_not_looked_at(self):
        self.several.for_url = None
        self.assertEqual(self.ordered((self.fast, {})), [self.fast])
        self.assertEqual(self.ordered(), [])

    def test_new_locations_are_placed_by_url(self):
        for url, store_id in (
            (self.fast, "fast"),
            (self.cheap, "cheap"),
            ("HTTPS://h/x", "mirror"),
        ):
            for metadata in ({}, {"store": "web"}, {"backend": "gone", "k": "v"}):
                found = self.several.placed(url, metadata)
                self.assertEqual(found.url, url)
                expected = {"store": store_id} | ({"k": "v"} if "k" in metadata else {})
                self.assertEqual(found.metadata, expected)
        for url in ("file:///secret/x", "swift://secret", "http:///secret", "secret"):
            with self.assertRaises(UnknownStore) as caught:
                self.several.placed(url, {"store": "fast"})
            self.assertNotIn("secret", caught.exception.message)

    def test_the_default_is_taken_before_weightier_ones(self):
        stores = self.stores(WEB.replace("default_backend = cheap", "default_backend = web"))
        self.assertEqual(stores.for_new("http://h/").store_id, "web")

    def test_discovery(self):
        reserved = SimpleNamespace(store_id="os_glance_staging_store", schemes=("file",), weight=99)
        self.several._stores[reserved.store_id] = reserved
        self.assertEqual(
            self.several.described(),
            [
                {"id": "fast", "description": "Fast disks"},
                {"id": "cheap", "default": "true"},
                {"id": "web", "read-only": "true"},
                {"id": "mirror", "read-only": "true"},
                {"id": "os", "read-only": "true"},
            ],
        )
        detailed = self.several.described(detail=True)
        self.assertEqual(
            detailed[0],
            {
                "id": "fast",
                "description": "Fast disks",
                "type": "file",
                "weight": 10,
                "properties": {
                    "data_dir": f"{self.root}/fast",
                    "chunk_size": 65536,
                    "thin_provisioning": False,
                },
            },
        )
        self.assertEqual(
            detailed[2],
            {"id": "web", "read-only": "true", "type": "http", "weight": 3, "properties": {}},
        )

    def test_reserved_stores_are_not_for_users(self):
        staging = SimpleNamespace(
            store_id="os_glance_staging_store", schemes=("file",), weight=99, owns=lambda url: True
        )
        self.several._stores = {staging.store_id: staging, **self.several._stores}
        self.assertEqual(self.several.for_new(self.fast).store_id, "fast")
        self.assertRaises(UnknownStore, self.several.for_new, "file:///staging/x")


class RunningTests(RegistryCase):
    def test_start_sweep_stop(self):
        stores = self.stores()
        self.successResultOf(stores.start())
        self.assertEqual(sorted(os.listdir(self.root)), ["cheap", "fast"])
        self.assertEqual(self.successResultOf(stores.sweep()), 0)
        self.successResultOf(stores.stop())

    def test_faulty_store_stays_without_writing(self):
        seen = self.warnings()
        with open(os.path.join(self.root, "cheap"), "w"):
            pass
        stores = self.stores()
        self.successResultOf(stores.start())
        self.failureResultOf(stores.default.open_writer("x", None), WriteDisabled)
        self.successResultOf(stores.get("fast").open_writer("x", None))
        self.assertEqual([e["store"] for e in seen], ["cheap"])
        self.assertIn("[cheap] filesystem_store_datadir", seen[0]["error"])

    def test_store_that_does_not_answer_keeps_nothing_from_starting(self):
        stores = self.stores()
        self.patch(stores.get("fast"), "start", lambda: fail(StoreTimeout("slow")))
        self.successResultOf(stores.start())
        self.assertTrue(stores.default.writable)

    def test_bugs_are_not_taken_for_faulty_configuration(self):
        stores = self.stores()
        self.patch(stores.get("fast"), "start", lambda: fail(ZeroDivisionError()))
        self.failureResultOf(stores.start()).value.subFailure.trap(ZeroDivisionError)

    def test_sweep_goes_on_after_a_failure(self):
        stores = self.stores()
        self.patch(stores.get("fast"), "sweep", lambda: fail(StoreTimeout("slow")))
        self.patch(stores.get("cheap"), "sweep", lambda: succeed(3))
        self.assertEqual(self.successResultOf(stores.sweep()), 3)
        self.assertEqual(len(self.flushLoggedErrors(StoreTimeout)), 1)


@implementer(IPlugin, IStoreFactory)
class TapeFactory:
    driver = "tape"

    def options(self):
        return [cfg.StrOpt("tape_device", default="/dev/st0")]

    def make(self, store_id, section, reactor):
        return SimpleNamespace(
            store_id=store_id, driver="tape", schemes=("tape",), device=section.tape_device
        )


class DriverTests(RegistryCase):
    def test_built_in(self):
        for driver, factory in drivers.BUILT_IN.items():
            verifyObject(IStoreFactory, factory)
            self.assertEqual(factory.driver, driver)
            self.assertTrue(factory.options())

    def test_built_in_drivers_cost_no_plugin_lookup(self):
        self.patch(drivers, "getPlugins", lambda interface: 1 / 0)
        self.assertIs(drivers.find("file"), drivers.BUILT_IN["file"])

    def test_declared_to_twisted(self):
        found = [f.driver for f in getPlugins(IStoreFactory)]
        self.assertEqual(sorted(found), sorted(drivers.BUILT_IN))

    def test_driver_of_a_third_party(self):
        self.patch(drivers, "getPlugins", lambda interface: [TapeFactory()])
        self.assertIsNone(drivers.find("floppy"))
        text = "[DEFAULT]\nenabled_backends = vault:tape\n[glance_store]\ndefault_backend = vault\n"
        stores = self.stores(text + "[vault]\ntape_device = /dev/st7\n")
        self.assertEqual(stores.default.device, "/dev/st7")


class SectionTests(SynchronousTestCase):
    def test_what_the_operator_set(self):
        conf = configuration("[own]\na = 1\n[shared]\nb = 2\n")
        for group in ("own", "shared"):
            register(conf, group, [cfg.StrOpt(name, default="0") for name in "abcd"])
        register(conf, "own", [cfg.StrOpt("a", default="another declaration")])
        conf.set_override("d", "3", group="own")
        section = Section(conf, "own", "shared")
        self.assertEqual([section.a, section.b, section.c, section.d], ["1", "2", "0", "3"])
        self.assertEqual([section.is_set(n) for n in "abcd"], [True, True, False, True])
        self.assertEqual(getattr(section, "missing", "none"), "none")
        self.assertFalse(section.is_set("missing"))
        self.assertFalse(Section(conf, "own").is_set("b"))

    def test_a_group_elsewhere(self):
        conf = configuration("[rules]\na = 1\n")
        rules = Section(conf, "own", "shared").elsewhere("rules", [cfg.StrOpt("a")])
        self.assertEqual((rules.a, rules.group), ("1", "rules"))
