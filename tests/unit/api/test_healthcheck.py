"""Load balancers always get an answer."""

import ipaddress
import json
import tempfile

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from glance.api.healthcheck import HealthcheckResource, HealthSettings
from glance.api.limits import Limits
from glance.api.readiness import PATIENCE
from glance.api.site import refuse
from glance.api.streaming import StreamingSite
from glance.domain.rotation import make_checks

ABSENT = "/nonexistent/file"


class Readiness:
    """Says what a test says."""

    def __init__(self):
        self.report = {"status": "ready", "catalogue": "ok", "stores": {"fast": "ok"}}

    def look(self):
        return succeed(self.report)


class HealthcheckCase(SynchronousTestCase):
    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.readiness = Readiness()
        self.thread = maybeDeferred
        self.options = {}
        self.path = ABSENT
        self.checks = None
        self.peer = IPv4Address("TCP", "192.0.2.7", 4711)

    def ask(self, *headers, method=b"GET", path=b"/healthcheck"):
        checks = self.checks or make_checks([], self.path)
        root = Resource()
        settings = HealthSettings(checks, **self.options)
        root.putChild(
            b"healthcheck",
            HealthcheckResource(settings, self.reactor, self.thread, self.readiness),
        )
        site = StreamingSite(
            root,
            self.reactor,
            streams=lambda method, uri: False,
            refuse=refuse,
            limits=Limits(),
        )
        self.transport = StringTransport(
            hostAddress=IPv4Address("TCP", "127.0.0.1", 9292), peerAddress=self.peer
        )
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        lines = [method + b" " + path + b" HTTP/1.1", b"Host: x", *headers, b"", b""]
        self.channel.dataReceived(b"\r\n".join(lines))
        return self.told()

    def told(self):
        """Return status and body of the answer."""
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        self.head = head
        return int(head.split()[1]) if head else None, body

    def file(self):
        return self.enterContext(tempfile.NamedTemporaryFile()).name


class TestFiles(HealthcheckCase):
    def test_well(self):
        self.assertEqual(self.ask(), (200, b"OK"))
        self.assertIn(b"Content-Length: 2", self.head)
        self.assertNotIn(b"request-id", self.head.lower())

    def test_taken_out_of_service(self):
        self.path = self.file()
        self.assertEqual(self.ask(), (503, b"DISABLED BY FILE"))
        status, body = self.ask(b"Accept: application/json")
        self.assertEqual(status, 503)
        self.assertEqual(body, b'{"detailed":false,"reasons":["DISABLED BY FILE"]}')

    def test_head(self):
        self.assertEqual(self.ask(method=b"HEAD"), (204, b""))
        self.assertNotIn(b"Content-Length", self.head)
        self.path = self.file()
        self.assertEqual(self.ask(method=b"HEAD"), (503, b""))

    def test_any_method(self):
        self.assertEqual(self.ask(b"Content-Length: 0", method=b"POST"), (200, b"OK"))

    def test_accept_that_is_no_text(self):
        self.assertEqual(self.ask(b"Accept: \xff\xfe"), (200, b"OK"))

    def test_several_backends(self):
        self.checks = make_checks(
            ["disable_by_file", "disable_by_files_ports", "enable_by_files"],
            ABSENT,
            [f"9292:{self.file()}", f"80:{self.file()}"],
            [ABSENT],
        )
        self.assertEqual(self.ask(), (503, b"OK\nDISABLED BY FILE\nFILE PATH MISSING"))
        self.options = {"detailed": True}
        _, body = self.ask(b"Accept: application/json")
        self.assertEqual(
            json.loads(body),
            {
                "detailed": True,
                "reasons": [
                    {"class": "disable_by_file", "details": "", "reason": "OK"},
                    {
                        "class": "disable_by_files_ports",
                        "details": "",
                        "reason": "DISABLED BY FILE",
                    },
                    {"class": "enable_by_files", "details": "", "reason": "FILE PATH MISSING"},
                ],
            },
        )

    def test_page(self):
        status, body = self.ask(b"Accept: text/html")
        self.assertEqual(status, 200)
        self.assertIn(b"Content-Type: text/html", self.head)
        self.assertIn(b"<li>OK</li>", body)
        self.options = {"detailed": True}
        _, body = self.ask(b"Accept: text/html,*/*")
        self.assertIn(b"<li>disable_by_file: OK</li>", body)


class TestTrouble(HealthcheckCase):
    def test_look_that_failed_counts_as_no(self):
        self.thread = lambda *_: fail(OSError("disk"))
        self.assertEqual(self.ask()[0], 503)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_disk_that_hangs(self):
        looks = []
        self.thread = lambda *_: looks.append(Deferred()) or looks[-1]
        self.assertEqual(self.ask(), (None, b""))
        self.reactor.advance(PATIENCE)
        self.assertEqual(self.told(), (503, b"FILE CHECK FAILED"))

    def test_answer_that_cannot_be_made_ends_the_connection(self):
        self.patch(HealthcheckResource, "_rotation_reply", lambda *_: 1 / 0)
        self.ask()
        self.assertEqual(self.head, b"")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_client_that_went_away(self):
        looking = Deferred()
        self.thread = lambda *_: looking
        self.ask()
        self.channel.connectionLost(None)
        looking.callback(frozenset())
        self.assertEqual(self.transport.value(), b"")


class TestWhoMayAsk(HealthcheckCase):
    PATHS = b"/healthcheck", b"/healthcheck/ready", b"/healthcheck/live"

    def may_ask(self, host):
        kind = IPv6Address if ":" in host else IPv4Address
        self.peer = kind("TCP", host, 4711)
        statuses = {self.ask(path=path)[0] for path in self.PATHS}
        self.assertEqual(len(statuses), 1)
        return statuses == {200}

    def test_networks(self):
        self.options = {
            "networks": [
                ipaddress.ip_network("10.0.0.0/8"),
                ipaddress.ip_network("2001:db8::/32"),
            ]
        }
        self.assertTrue(self.may_ask("10.1.2.3"))
        self.assertTrue(self.may_ask("::ffff:10.1.2.3"))
        self.assertTrue(self.may_ask("2001:db8::1"))
        self.assertFalse(self.may_ask("11.0.0.1"))
        self.assertFalse(self.may_ask("::ffff:11.0.0.1"))
        self.assertFalse(self.may_ask("fe80::1%eth0"))

    def test_what_a_client_says_of_its_address_does_not_count(self):
        self.options = {"networks": [ipaddress.ip_network("10.0.0.0/8")]}
        status, body = self.ask(b"X-Forwarded-For: 10.0.0.1")
        self.assertEqual(status, 403)
        self.assertNotIn(b"OK", body)

    def test_through_a_proxy(self):
        self.options = {"ignore_proxied": True}
        self.assertEqual(self.ask()[0], 200)
        for header in (b"Forwarded: for=x", b"X-Forwarded-For: 10.0.0.1"):
            for path in self.PATHS:
                self.assertEqual(self.ask(header, path=path)[0], 403)
        self.options = {}
        self.assertEqual(self.ask(b"Forwarded: for=x")[0], 200)


class TestBelow(HealthcheckCase):
    def test_live(self):
        self.thread = lambda *_: Deferred()
        self.assertEqual(self.ask(path=b"/healthcheck/live"), (200, b"OK"))

    def test_slash(self):
        self.assertEqual(self.ask(path=b"/healthcheck/"), (200, b"OK"))

    def test_nonsense(self):
        for path in (b"/healthcheck/x", b"/healthcheck/ready/x"):
            self.assertEqual(self.ask(path=path)[0], 404)

    def ready(self):
        status, body = self.ask(path=b"/healthcheck/ready")
        self.assertIn(b"Cache-Control: no-store", self.head)
        return status, json.loads(body)

    def test_ready(self):
        status, report = self.ready()
        self.assertEqual(status, 200)
        self.assertEqual(report, {**self.readiness.report, "rotation": "in"})

    def test_degraded(self):
        self.readiness.report["status"] = "degraded"
        self.assertEqual(self.ready()[0], 200)

    def test_not_ready(self):
        self.readiness.report["status"] = "not ready"
        self.assertEqual(self.ready()[0], 503)

    def test_out_of_rotation(self):
        self.path = self.file()
        status, report = self.ready()
        self.assertEqual(status, 503)
        self.assertEqual((report["status"], report["rotation"]), ("not ready", "out"))
        self.assertEqual(report["catalogue"], "ok")

    def test_head(self):
        self.assertEqual(self.ask(method=b"HEAD", path=b"/healthcheck/ready"), (200, b""))

    def test_everything_hangs(self):
        looking = Deferred()
        self.thread = lambda *_: Deferred()
        self.readiness.look = lambda: looking
        self.assertEqual(self.ask(path=b"/healthcheck/ready"), (None, b""))
        # Both are asked at once, so that one patience is enough.
        looking.callback({**self.readiness.report, "status": "not ready"})
        self.reactor.advance(PATIENCE)
        self.assertEqual(self.told()[0], 503)
