"""Fetching: redirects, credentials, what answers mean, and time."""

from functools import partial

from OpenSSL.SSL import Error as TlsError
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

from glance.domain.urifilter import UriFilter
from glance.stores.errors import (
    BadLocation,
    DataNotFound,
    FetchRefused,
    RemoteUnavailable,
    StoreError,
)
from glance.stores.fetching import ANSWER_TIME, MOST_REDIRECTS
from glance.stores.tunnel import basic
from tests.unit.stores.web import (
    DATA,
    Web,
    announce,
    chunked,
    plain,
    ranged,
    redirect,
    short,
    silent,
    status,
    web_fetcher,
)


class FetchCase(SynchronousTestCase):
    rules = UriFilter(disallowed_hosts=["bad.example"], allowed_ports=[80, 443, 8080])

    def setUp(self):
        self.web = Web()
        self.fetcher, self.outbound, self.clock = web_fetcher(self.web, self.rules)

    def fetch(self, url, **how):
        return Deferred.fromCoroutine(self.fetcher.fetch(url, **how))

    def fetched(self, url, **how):
        found = self.successResultOf(self.fetch(url, **how))
        self.addCleanup(found.close)
        return found

    def failed(self, url, *errors, **how):
        error = self.failureResultOf(self.fetch(url, **how), *errors).value
        self.assertIs(type(error), errors[0])
        for word in ("secret", "example"):
            self.assertNotIn(word, error.message)
        self.assertEqual(self.outbound.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        return error

    def asked(self):
        return [(method, where) for method, where, _ in self.web.asked]


class AnswerTests(FetchCase):
    def test_data(self):
        self.web.pages["good.example/x"] = plain(tag='"1"')
        found = self.fetched("http://good.example/x")
        self.assertEqual((found.start, found.total, found.tag), (0, len(DATA), b'"1"'))
        self.assertEqual(self.successResultOf(found.read(100)), DATA[:100])
        self.assertEqual(self.successResultOf(found.read(99999)), DATA[100:])
        self.assertEqual(self.successResultOf(found.read(1)), b"")
        self.assertEqual(self.outbound.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_is_asked(self):
        self.web.pages["good.example/x"] = plain()
        self.fetched("http://good.example/x?a#b")
        headers = self.web.asked[0][2]
        self.assertEqual(headers.getRawHeaders("Accept-Encoding"), ["identity"])
        self.assertTrue(headers.getRawHeaders("User-Agent")[0].startswith("glance/"))
        for name in ("Authorization", "Range", "Cookie", "Referer"):
            self.assertFalse(headers.hasHeader(name))

    def test_no_length(self):
        self.web.pages["good.example/x"] = chunked()
        found = self.fetched("http://good.example/x")
        self.assertIsNone(found.total)
        reading = found.read(99999)
        self.outbound.agent.flush()
        self.assertEqual(self.successResultOf(reading), DATA)

    def test_nothing_at_all(self):
        self.web.pages["good.example/x"] = plain(b"")
        found = self.fetched("http://good.example/x")
        self.assertEqual(found.total, 0)
        self.assertEqual(self.successResultOf(found.read(9)), b"")

    def test_less_than_announced(self):
        self.web.pages["good.example/x"] = short()
        found = self.fetched("http://good.example/x")
        reading = found.read(len(DATA) + 1)
        self.outbound.agent.flush()
        self.failureResultOf(reading, RemoteUnavailable)

    def test_more_than_can_be_counted(self):
        url = "http://good.example/x"
        for length in (2**63, 10**19 - 1):
            self.web.pages["good.example/x"] = announce(length)
            self.failed(url, RemoteUnavailable, head=True)
            self.failed(url, RemoteUnavailable)
            self.web.pages["good.example/x"] = status(
                206, **{"Content-Range": f"bytes 5-9/{length}"}
            )
            self.failed(url, RemoteUnavailable, offset=5)
        self.web.pages["good.example/x"] = announce(2**63 - 1)
        self.assertEqual(self.fetched(url, head=True).total, 2**63 - 1)
        self.assertEqual(self.fetched(url).total, 2**63 - 1)

    def test_the_length_alone(self):
        self.web.pages["good.example/x"] = plain()
        self.assertEqual(self.fetched("http://good.example/x", head=True).total, len(DATA))
        self.assertEqual(self.asked(), [("HEAD", "good.example/x")])
        self.web.pages["good.example/x"] = chunked()
        self.assertIsNone(self.fetched("http://good.example/x", head=True).total)

    def test_statuses(self):
        for code, error in (
            (404, DataNotFound), (410, DataNotFound), (500, RemoteUnavailable),
            (503, RemoteUnavailable), (429, RemoteUnavailable), (401, BadLocation),
            (403, BadLocation), (416, BadLocation), (300, BadLocation), (304, BadLocation),
            (202, BadLocation), (206, BadLocation), (301, BadLocation),
        ):  # fmt: skip
            self.web.pages["good.example/x"] = status(code)
            self.failed("http://good.example/x", error)
            self.failed("http://good.example/x", error, head=True)


class RangeTests(FetchCase):
    def test_a_part(self):
        self.web.pages["good.example/x"] = ranged()
        found = self.fetched("http://good.example/x", offset=1000)
        self.assertEqual((found.start, found.total), (1000, len(DATA)))
        self.assertEqual(self.successResultOf(found.read(99999)), DATA[1000:])
        self.assertEqual(self.web.asked[0][2].getRawHeaders("Range"), ["bytes=1000-"])

    def test_a_server_without_parts(self):
        self.web.pages["good.example/x"] = plain()
        found = self.fetched("http://good.example/x", offset=1000)
        self.assertEqual((found.start, found.total), (0, len(DATA)))

    def test_a_part_of_who_knows_how_much(self):
        headers = {"Content-Range": "bytes 5-9/*"}
        self.web.pages["good.example/x"] = status(206, **headers)
        self.assertIsNone(self.fetched("http://good.example/x", offset=5).total)

    def test_another_part_than_was_asked_for(self):
        for value in (
            "bytes 4-9/10", "bytes 6-9/10", "bytes */10", "", "items 5-9/10", "bytes 5-9/x",
            "bytes 5-9/" + "9" * 5000,
        ):  # fmt: skip
            headers = {"Content-Range": value} if value else {}
            self.web.pages["good.example/x"] = status(206, **headers)
            self.failed("http://good.example/x", StoreError, offset=5)


class RedirectTests(FetchCase):
    def test_followed(self):
        self.web.pages["good.example/y"] = plain()
        for code in (301, 302, 303, 307, 308):
            for where in ("/y", "y", "http://good.example/y", "//good.example/y", "../y?x#z"):
                self.web.pages["good.example/x"] = redirect(where, code)
                self.web.asked.clear()
                self.assertEqual(self.fetched("http://good.example/x").total, len(DATA))
                expected = [("GET", "good.example/x"), ("GET", "good.example/y")]
                self.assertEqual(self.asked(), expected)

    def test_what_is_asked_stays(self):
        self.web.pages["good.example/x"] = redirect("http://other.example/y")
        self.web.pages["other.example/y"] = ranged()
        self.assertEqual(self.fetched("http://good.example/x", offset=7).start, 7)
        self.fetched("http://good.example/x", head=True)
        self.assertEqual(
            self.asked()[2:], [("HEAD", "good.example/x"), ("HEAD", "other.example/y")]
        )

    def test_not_for_ever(self):
        for n in range(MOST_REDIRECTS):
            self.web.pages[f"good.example/{n}"] = redirect(f"/{n + 1}")
        self.web.pages[f"good.example/{MOST_REDIRECTS}"] = plain()
        found = self.fetched("http://good.example/0")
        self.assertEqual(found.total, len(DATA))
        found.close()
        self.web.pages["good.example/x"] = redirect("/0")
        self.failed("http://good.example/x", BadLocation)
        self.web.pages["good.example/loop"] = redirect("/loop")
        self.web.asked.clear()
        self.failed("http://good.example/loop", BadLocation)
        self.assertEqual(len(self.web.asked), MOST_REDIRECTS + 1)

    def test_to_where_nothing_may_be_fetched(self):
        for where in (
            "http://127.0.0.1/", "http://2130706433/", "http://0x7f000001/", "http://0177.0.0.1/",
            "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://169.254.169.254/latest",
            "http://localhost/", "http://bad.example/", "http://BAD.example./", "file:///etc/passwd",
            "ftp://good.example/", "http://good.example:22/", "gopher://good.example:80/x",
            "http://user:secret@good.example/", "http://good.example@bad.example/", "http://[",
            "http://good.example\\@bad.example/", "//bad.example",
            "http://good.example/\x80", "javascript:alert(1)", "swift+config://x/y/z",
        ):  # fmt: skip
            self.web.pages["good.example/x"] = redirect(where)
            self.web.asked.clear()
            self.failed("http://good.example/x", FetchRefused)
            self.assertEqual(self.asked(), [("GET", "good.example/x")])

    def test_ports_that_are_not_written_stay_so(self):
        rules = UriFilter(allowed_ports=[8080])
        self.fetcher, self.outbound, self.clock = web_fetcher(self.web, rules)
        self.web.pages["good.example/x"] = redirect("/y")
        self.web.pages["good.example/y"] = plain()
        self.assertEqual(self.fetched("http://good.example/x").total, len(DATA))


class CredentialTests(FetchCase):
    def told(self):
        return [headers.getRawHeaders("Authorization") for _, _, headers in self.web.asked]

    def test_told_to_the_server_that_the_url_names(self):
        self.web.pages["good.example/x"] = redirect("/y")
        self.web.pages["good.example/y"] = plain()
        self.fetched("http://us%3Aer:se%40cret@good.example/x")
        value = basic("us:er", "se@cret").decode()
        self.assertEqual(self.told(), [[value], [value]])

    def test_told_to_no_other(self):
        for other in (
            "http://other.example/y", "https://good.example/y", "http://good.example:8080/y",
        ):  # fmt: skip
            self.web.pages["good.example/x"] = redirect(other)
            self.web.pages[other.partition("//")[2]] = redirect("http://other.example/z")
            self.web.pages["other.example/z"] = plain()
            self.web.asked.clear()
            self.fetched("http://user:secret@good.example/x")
            self.assertEqual([bool(each) for each in self.told()], [True, False, False])

    def test_a_user_without_a_password(self):
        self.failed("http://user@good.example/x", FetchRefused)


class TroubleTests(FetchCase):
    def test_refused_urls_are_not_asked_for(self):
        for url in ("http://127.0.0.1/", "http://bad.example/", "file:///x", "", "http://h:22/"):
            self.failed(url, FetchRefused)
        self.assertEqual(self.web.asked, [])

    def refuse_with(self, error):
        self.outbound.request = lambda *args: fail(error)

    def test_no_connection(self):
        never = partial(ResponseNeverReceived, [Failure(ConnectionDone())])
        for error in (ConnectionRefusedError(), DNSLookupError(), never()):
            self.refuse_with(error)
            self.failed("http://good.example/x", RemoteUnavailable)

    def test_no_secure_connection(self):
        self.refuse_with(ResponseNeverReceived([Failure(TlsError())]))
        error = self.failed("https://good.example/x", RemoteUnavailable)
        self.assertIn("certificate", error.message)

    def test_refused_by_address(self):
        self.refuse_with(FetchRefused("it leads to a loopback address"))
        self.failed("http://good.example/x", FetchRefused)

    def test_mistakes_of_ours_are_not_hidden(self):
        self.refuse_with(ZeroDivisionError())
        self.failureResultOf(self.fetch("http://good.example/x"), ZeroDivisionError)

    def test_no_answer_in_time(self):
        self.web.pages["good.example/x"] = silent
        fetching = self.fetch("http://good.example/x")
        self.clock.advance(ANSWER_TIME - 1)
        self.assertNoResult(fetching)
        self.clock.advance(1)
        error = self.failureResultOf(fetching, RemoteUnavailable).value
        self.assertIn("in time", error.message)
        self.assertEqual(self.outbound.open, 0)

    def test_cancelled(self):
        self.web.pages["good.example/x"] = silent
        fetching = self.fetch("http://good.example/x")
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assertEqual(self.outbound.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing(self):
        closed = []
        self.outbound.close = lambda: closed.append(True)
        self.fetcher.close()
        self.assertEqual(closed, [True])
