"""Load balancers always get an answer."""

import tempfile

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.trial.unittest import SynchronousTestCase

from glance.api.healthcheck import HealthcheckResource
from glance.api.site import refuse
from glance.api.streaming import StreamingSite


class TestHealthcheck(SynchronousTestCase):
    def ask(self, *headers, method=b"GET", paths=(), run=maybeDeferred):
        site = StreamingSite(
            HealthcheckResource(paths, False, run),
            MemoryReactorClock(),
            streams=lambda method, uri: False,
            refuse=refuse,
            body_limit=100,
            timeout=None,
            max_header=1000,
        )
        self.transport = StringTransport()
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self.transport)
        lines = [method + b" /healthcheck HTTP/1.1", b"Host: x", *headers, b"", b""]
        self.channel.dataReceived(b"\r\n".join(lines))
        head, _, body = self.transport.value().partition(b"\r\n\r\n")
        return head, body

    def disabled(self):
        return (self.enterContext(tempfile.NamedTemporaryFile()).name,)

    def test_well(self):
        head, body = self.ask(paths=("/nonexistent/file",))
        self.assertTrue(head.startswith(b"HTTP/1.1 200 OK"))
        self.assertIn(b"Content-Length: 2", head)
        self.assertEqual(body, b"OK")

    def test_taken_out_of_service(self):
        paths = self.disabled()
        head, body = self.ask(paths=paths)
        self.assertTrue(head.startswith(b"HTTP/1.1 503"))
        self.assertEqual(body, b"DISABLED BY FILE")
        head, body = self.ask(b"Accept: application/json", paths=paths)
        self.assertTrue(head.startswith(b"HTTP/1.1 503"))
        self.assertEqual(body, b'{"detailed":false,"reasons":["DISABLED BY FILE"]}')

    def test_head(self):
        head, body = self.ask(method=b"HEAD")
        self.assertTrue(head.startswith(b"HTTP/1.1 204"))
        self.assertNotIn(b"Content-Length", head)
        head, body = self.ask(method=b"HEAD", paths=self.disabled())
        self.assertTrue(head.startswith(b"HTTP/1.1 503"))
        self.assertEqual(body, b"")

    def test_accept_that_is_no_text(self):
        head, body = self.ask(b"Accept: \xff\xfe")
        self.assertTrue(head.startswith(b"HTTP/1.1 200"))
        self.assertEqual(body, b"OK")

    def test_look_that_failed_counts_as_no(self):
        head, _ = self.ask(paths=("x",), run=lambda *_: fail(OSError("disk")))
        self.assertTrue(head.startswith(b"HTTP/1.1 503"))
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_answer_that_cannot_be_made_ends_the_connection(self):
        self.patch(HealthcheckResource, "_reply", lambda *_: 1 / 0)
        head, _ = self.ask()
        self.assertEqual(head, b"")
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_client_that_went_away(self):
        looking = Deferred()
        self.ask(paths=("x",), run=lambda *_: looking)
        self.channel.connectionLost(None)
        looking.callback(False)
        self.assertEqual(self.transport.value(), b"")
