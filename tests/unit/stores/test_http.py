"""The http store: reading in pieces from one answer, what it refuses, and how it is configured."""

import subprocess
import sys
import tempfile
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface.verify import verifyObject

from glance.domain.urifilter import UriFilter
from glance.stores import http
from glance.stores.errors import (
    BadLocation,
    BadStoreConfiguration,
    DataNotFound,
    DeleteNotSupported,
    FetchRefused,
    RemoteUnavailable,
    StoreError,
    WriteDisabled,
)
from glance.stores.http import FAR, NEAR, HttpStore
from glance.stores.interfaces import IStore, IStoreReader
from tests.unit.stores.contract import IMAGE
from tests.unit.stores.test_threads import WarningsMixin
from tests.unit.stores.web import (
    DATA,
    Web,
    by_method,
    chunked,
    nothing,
    plain,
    ranged,
    redirect,
    short,
    silent,
    status,
    web_fetcher,
)

URL = "http://user:secret@web.example/x?signature=secret"
PAGE = "web.example/x"


def section(**given):
    values = {
        "https_ca_certificates_file": None,
        "https_insecure": False,
        "http_proxy_information": {},
        "store_description": None,
        "weight": 0,
        "group": "web",
    }
    return SimpleNamespace(**{**values, **given})


def http_store(rules=None, **given):
    return HttpStore("web", section(**given), Clock(), rules or UriFilter(), maybeDeferred)


class HttpCase(WarningsMixin, SynchronousTestCase):
    def setUp(self):
        self.web = Web()
        self.store = http_store()
        self.successResultOf(self.store.start())
        self.addCleanup(self.store.stop)
        self.store._fetcher, self.outbound, self.clock = web_fetcher(self.web)

    def methods(self):
        return [method for method, *_ in self.web.asked]

    def ranges(self):
        return [(headers.getRawHeaders("Range") or [""])[0] for *_, headers in self.web.asked]

    def fails(self, deferred, *errors):
        error = self.failureResultOf(deferred, *errors).value
        self.assertIs(type(error), errors[0])
        for word in ("secret", "example"):
            self.assertNotIn(word, error.message)
        return error

    def opened(self, page=None):
        self.web.pages[PAGE] = page or ranged()
        reader = self.successResultOf(self.store.open_reader(URL))
        self.addCleanup(reader.close)
        return reader

    def read(self, reader, offset, length):
        reading = reader.read(offset, length)
        self.outbound.agent.flush()
        return self.successResultOf(reading)


class StoreTests(HttpCase):
    def test_interface(self):
        verifyObject(IStore, self.store)
        verifyObject(IStoreReader, self.opened())
        self.assertEqual(self.store.schemes, ("http", "https"))
        self.assertEqual(self.store.properties(), {})

    def test_nothing_is_written(self):
        self.assertFalse(self.store.writable)
        self.fails(self.store.open_writer(IMAGE, 5), WriteDisabled)
        self.assertEqual(self.store.url_for(IMAGE), [])
        self.assertEqual(self.successResultOf(self.store.sweep()), 0)

    def test_nothing_is_deleted(self):
        self.web.pages[PAGE] = plain()
        self.fails(self.store.delete(URL), DeleteNotSupported)
        self.assertEqual(self.web.asked, [])

    def test_which_urls_are_its_own(self):
        for url in ("http://h/x", "HTTPS://H:8080", "http://u:p@10.0.0.1/x?y", "http://[::1]/"):
            self.assertTrue(self.store.owns(url))
        for url in ("file:///x", "", "x", "http:/x", "http://0x7f000001/", "swift+https://h/secret",
                    "http://user@h/secret", " http://h/secret"):  # fmt: skip
            self.assertFalse(self.store.owns(url))
            for attempt in (self.store.open_reader, self.store.size_of):
                self.fails(attempt(url), BadLocation)
            old = url.startswith("http:")
            self.fails(self.store.delete(url), DeleteNotSupported if old else BadLocation)
        self.assertEqual(self.web.asked, [])


class SizeTests(HttpCase):
    def size(self, page):
        self.web.pages[PAGE] = page
        found = self.successResultOf(self.store.size_of(URL))
        self.assertEqual(self.outbound.open, 0)
        return found

    def test_by_head(self):
        self.assertEqual(self.size(plain()), len(DATA))
        self.assertEqual(self.methods(), ["HEAD"])

    def test_by_get_where_head_is_refused(self):
        for code in (400, 403, 405, 501):
            self.web.asked.clear()
            size = self.size(by_method(HEAD=status(code), GET=plain()))
            self.assertEqual((size, self.methods()), (len(DATA), ["HEAD", "GET"]))

    def test_by_head_where_get_tells_none(self):
        page = by_method(HEAD=plain(), GET=chunked())
        self.assertEqual(self.size(page), len(DATA))
        reader = self.opened(page)
        self.assertIsNone(reader.size)
        self.assertEqual(self.read(reader, 0, len(DATA) + 1), DATA)
        self.assertEqual(self.read(reader, len(DATA), 1), b"")

    def test_server_that_knows_neither(self):
        self.web.pages[PAGE] = status(501)
        self.fails(self.store.size_of(URL), RemoteUnavailable)
        self.assertEqual(self.methods(), ["HEAD", "GET"])

    def test_unknown(self):
        self.assertEqual(self.size(chunked()), 0)
        self.assertEqual(self.size(plain(b"")), 0)

    def test_errors(self):
        for page, error in (
            (nothing, DataNotFound), (status(503), RemoteUnavailable), (status(403), BadLocation),
            (redirect("http://127.0.0.1/"), FetchRefused),
        ):  # fmt: skip
            self.web.pages[PAGE] = page
            self.fails(self.store.size_of(URL), error)
            self.assertEqual(self.outbound.open, 0)

    def test_a_refusal_is_not_tried_twice(self):
        self.web.pages[PAGE] = redirect("http://127.0.0.1/")
        self.fails(self.store.size_of(URL), FetchRefused)
        self.assertEqual(self.methods(), ["HEAD"])


class ReadingTests(HttpCase):
    def test_pieces_in_a_row_are_of_one_answer(self):
        reader = self.opened()
        self.assertEqual(reader.size, len(DATA))
        out = b"".join(self.read(reader, at, 999) for at in range(0, len(DATA), 999))
        self.assertEqual(out, DATA)
        self.assertEqual(self.read(reader, len(DATA), 9), b"")
        self.assertEqual((self.methods(), self.ranges()), (["GET"], [""]))

    def test_a_little_ahead_is_reached_by_reading(self):
        reader = self.opened()
        self.assertEqual(self.read(reader, 5000, 10), DATA[5000:5010])
        self.assertEqual(self.read(reader, 5100, 10), DATA[5100:5110])
        self.assertEqual(self.methods(), ["GET"])

    def big(self, size, page=ranged):
        data = DATA * (size // len(DATA) + 1)
        return data, self.opened(page(data))

    def test_further_ahead_and_back_are_asked_for(self):
        data, reader = self.big(3 * NEAR)
        at = NEAR + 5
        self.assertEqual(self.read(reader, at, 10), data[at : at + 10])
        self.assertEqual(self.read(reader, at + 10, 10), data[at + 10 : at + 20])
        self.assertEqual(self.read(reader, 7, 10), data[7:17])
        self.assertEqual(self.read(reader, 0, 10), data[:10])
        self.assertEqual(self.ranges(), ["", f"bytes={at}-", "bytes=7-", ""])
        self.assertLessEqual(self.outbound.open, 1)

    def test_servers_that_know_no_ranges(self):
        data, reader = self.big(3 * NEAR, plain)
        at = 2 * NEAR + 7
        self.assertEqual(self.read(reader, at, 10), data[at : at + 10])
        self.assertEqual(self.read(reader, 3, 10), data[3:13])

    def test_but_only_within_reason(self):
        self.patch(http, "FAR", NEAR + 10)
        data, reader = self.big(3 * NEAR, plain)
        at = NEAR + 10
        self.assertEqual(self.read(reader, at, 10), data[at : at + 10])
        reader = self.opened(plain(data))
        self.fails(reader.read(at + 1, 10), StoreError)
        self.assertLess(NEAR, FAR)

    def test_no_length(self):
        reader = self.opened(chunked())
        self.assertIsNone(reader.size)
        self.assertEqual(self.read(reader, 0, 200), DATA[:200])
        self.assertEqual(self.read(reader, 200, len(DATA)), DATA[200:])
        self.assertEqual(self.read(reader, len(DATA), 1), b"")
        self.assertEqual(self.read(self.opened(chunked()), len(DATA) + 9, 1), b"")

    def test_a_part_of_what_had_no_length(self):
        self.patch(http, "NEAR", 0)
        reader = self.opened(chunked())
        self.web.pages[PAGE] = ranged()
        self.assertEqual(self.read(reader, 500, 10), DATA[500:510])

    def test_less_than_announced(self):
        reader = self.opened(short())
        self.assertEqual(reader.size, len(DATA) + 1)
        reading = reader.read(0, len(DATA) + 1)
        self.outbound.agent.flush()
        self.fails(reading, RemoteUnavailable)

    def test_a_part_that_ends_early(self):
        self.patch(http, "NEAR", 0)
        reader = self.opened()

        def stingy(request):
            request.setResponseCode(206)
            request.setHeader("Content-Range", f"bytes 5-9/{len(DATA)}")
            return DATA[5:10]

        self.web.pages[PAGE] = stingy
        self.assertEqual(self.read(reader, 5, 5), DATA[5:10])
        self.fails(reader.read(10, 5), RemoteUnavailable)

    def test_data_that_changes(self):
        self.patch(http, "NEAR", 0)
        for page in (ranged(DATA + b"x"), plain(DATA[:-1]), ranged(tag='"2"'), plain(tag='"2"')):
            reader = self.opened(ranged(tag='"1"'))
            self.web.pages[PAGE] = page
            self.fails(reader.read(500, 10), StoreError)
            self.assertEqual(self.outbound.open, 0)
            self.fails(reader.read(510, 10), StoreError, RemoteUnavailable)

    def test_trouble_when_asking_anew(self):
        self.patch(http, "NEAR", 0)
        for page, error in ((nothing, DataNotFound), (status(503), RemoteUnavailable)):
            reader = self.opened()
            self.web.pages[PAGE] = page
            self.fails(reader.read(5, 10), error)
            self.assertEqual(self.outbound.open, 0)

    def test_missing(self):
        self.web.pages[PAGE] = nothing
        self.fails(self.store.open_reader(URL), DataNotFound)

    def test_readings_at_once_take_turns(self):
        reader = self.opened()
        readings = [reader.read(at, 100) for at in (0, 100, 200)]
        self.outbound.agent.flush()
        self.assertEqual(b"".join(map(self.successResultOf, readings)), DATA[:300])
        self.assertEqual(self.methods(), ["GET"])


class ClosingTests(HttpCase):
    def test_unread(self):
        reader = self.opened()
        reader.close()
        reader.close()
        self.assertEqual(self.outbound.open, 0)
        self.fails(reader.read(0, 1), StoreError)

    def test_while_reading(self):
        self.web.pages[PAGE] = lambda request: (request.write(b"x"), silent(request))[1]
        reader = self.successResultOf(self.store.open_reader(URL))
        reading, waiting = reader.read(0, 100), reader.read(100, 100)
        reader.close()
        for each in (reading, waiting):
            self.fails(each, StoreError)
        self.assertEqual(self.outbound.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_while_asking_anew(self):
        self.patch(http, "NEAR", 0)
        reader = self.opened()
        self.web.pages[PAGE] = silent
        reading = reader.read(5, 100)
        self.assertNoResult(reading)
        reader.close()
        self.fails(reading, StoreError)
        self.assertEqual(self.outbound.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_opening_can_be_cancelled(self):
        self.web.pages[PAGE] = silent
        opening = self.store.open_reader(URL)
        opening.cancel()
        self.failureResultOf(opening)
        self.assertEqual(self.outbound.open, 0)

    def test_stopping(self):
        self.opened()
        self.assertEqual(self.outbound.open, 1)
        self.successResultOf(self.store.stop())
        self.assertEqual(self.outbound.open, 0)


class RulesTests(HttpCase):
    def test_hold_when_data_is_read(self):
        seen = self.warnings()
        rules = UriFilter(allowed_ports=[8080])
        self.store._fetcher, self.outbound, self.clock = web_fetcher(self.web, rules)
        url = "http://user:secret@web.example:80/secret"
        option = "[import_filtering_opts] allowed_ports"
        # Who adds a location is told what is wrong with it; who reads it, nothing of where it is.
        self.assertIn(option, self.fails(self.store.size_of(url), FetchRefused).message)
        self.assertEqual(seen, [])
        self.assertNotIn(option, self.fails(self.store.open_reader(url), FetchRefused).message)
        self.assertEqual([event["store"] for event in seen], ["web"])
        self.assertIn(option, seen[0]["error"])
        self.assertNotIn("example", str(seen[0]["error"]))
        self.assertEqual(self.web.asked, [])


class ConfigurationTests(WarningsMixin, SynchronousTestCase):
    def test_authorities_that_cannot_be_read(self):
        with tempfile.NamedTemporaryFile() as junk, tempfile.NamedTemporaryFile() as broken:
            junk.write(b"-----BEGIN CERTIFICATE-----\n-----END CERT")
            broken.write(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            junk.flush()
            broken.flush()
            for path in ("/nowhere/ca.pem", junk.name, broken.name, "/etc"):
                store = http_store(https_ca_certificates_file=path)
                error = self.failureResultOf(store.start(), BadStoreConfiguration).value
                for word in ("[web] https_ca_certificates_file", path):
                    self.assertIn(word, error.message)
                # Nobody is trusted then, rather than everybody.
                self.assertEqual(store._authorities, [])

    def test_what_was_begun_before_authorities_were_read_goes_on(self):
        web, reading = Web(), Deferred()
        web.pages[PAGE] = plain()
        given = section(https_ca_certificates_file="x")
        store = HttpStore("web", given, Clock(), UriFilter(), lambda *_: reading)
        started = store.start()
        fetcher, outbound, _ = web_fetcher(web)
        store._fetcher, outbound.tls = fetcher, None
        reader = self.successResultOf(store.open_reader(URL))
        reading.callback([])
        self.successResultOf(started)
        self.assertTrue(IPolicyForHTTPS.providedBy(outbound.tls))
        self.assertEqual(self.successResultOf(reader.read(0, len(DATA))), DATA)
        self.successResultOf(store.open_reader(URL))
        self.assertEqual(outbound.open, 1)
        self.successResultOf(store.stop())
        self.assertEqual(outbound.open, 0)

    def test_insecure_is_told(self):
        seen = self.warnings()
        self.successResultOf(http_store().start())
        self.assertEqual(seen, [])
        self.successResultOf(http_store(https_insecure=True).start())
        self.assertEqual([event["store"] for event in seen], ["web"])

    def test_proxies(self):
        self.assertRaises(
            BadStoreConfiguration, http_store, http_proxy_information={"http": "nonsense"}
        )
        store = http_store(http_proxy_information={"http": "h:1"})
        self.assertEqual(store._proxies["http"].port, 1)

    def test_description_and_weight(self):
        store = http_store(store_description="Mirrors", weight=7)
        self.assertEqual((store.description, store.weight), ("Mirrors", 7))

    def test_who_never_fetches_pays_for_nothing(self):
        program = (
            "import sys\n"
            "from types import SimpleNamespace as S\n"
            "from glance.domain.urifilter import UriFilter\n"
            "from glance.stores.http import HttpStore\n"
            "section = S(https_ca_certificates_file=None, https_insecure=False,\n"
            "            http_proxy_information={})\n"
            "store = HttpStore('http', section, None, UriFilter())\n"
            "store.start(); store.owns('http://h/'); store.stop()\n"
            "print({'twisted.web.client', 'OpenSSL', 'treq'} & set(sys.modules))\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True
        )
        self.assertEqual(done.stdout, "set()\n")


@given(st.lists(st.tuples(st.integers(0, len(DATA) + 9), st.integers(0, 3000)), max_size=8))
def test_any_readings_give_what_is_there(readings):
    for page in (ranged(), plain(), chunked()):
        web = Web()
        web.pages[PAGE] = page
        fetcher, outbound, _ = web_fetcher(web)
        opening = Deferred.fromCoroutine(fetcher.fetch(URL))
        fetched = []
        opening.addCallback(fetched.append)
        reader = http.HttpReader(fetcher, URL, fetched[0])
        for offset, length in readings:
            reading = reader.read(offset, length)
            outbound.agent.flush()
            result = []
            reading.addBoth(result.append)
            assert result == [DATA[offset : offset + length]]
        reader.close()
        assert outbound.open == 0
