"""What a connection may cost: limits and clocks, told in an answer where there can be one."""

import socket

from twisted.internet.error import ConnectionDone
from twisted.internet.tcp import Port
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET

from glance.api.channel import CLOSING_TIME, LINGER_IDLE, PIPELINED
from glance.api.limits import Limits
from glance.domain.errors import Invalid
from tests.unit.api.channels import UPLOAD, ChannelCase, TCPTransport, answer, chunk, head

HEAD_TIME, BODY_TIME, IDLE_TIME, STALL_TIME = 10, 20, 30, 60


class LimitsCase(ChannelCase):
    limits = Limits(
        line=1000,
        head=3000,
        headers=20,
        body=100,
        head_time=HEAD_TIME,
        body_time=BODY_TIME,
        idle_time=IDLE_TIME,
        stall_time=STALL_TIME,
    )

    def assertRefused(self, status):
        """The refusal is the whole of what is said, and is closed after in good order."""
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 %d " % status), told)
        self.assertEqual(told.count(b"HTTP/1.1"), 1)
        self.assertIn(b"Connection: close", told)
        self.assertIn(b"Content-Length:", told)
        self.assertEqual(self.resource.requests, [])
        self.assertEqual(len(self.logged), 1)
        self.send(head(b"GET", b"/next"), b"\r\n\r\n")
        self.assertEqual((self.sent(), self.resource.requests), (b"", []))
        self.reactor.advance(LINGER_IDLE + 1)
        self.assertTrue(self.transport.disconnecting)
        self.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TestHeads(LimitsCase):
    def test_request_line(self):
        self.send(head(b"GET", b"/" + b"x" * 1000))
        self.assertRefused(414)

    def test_request_line_without_an_end(self):
        self.send(b"GET /", b"x" * 1000)
        self.assertRefused(414)
        self.assertEqual(self.logged[0].uri, b"-")

    def test_header(self):
        self.send(head(b"GET", b"/", b"X: " + b"x" * 1000))
        self.assertRefused(431)
        self.assertEqual(self.logged[0].uri, b"/")

    def test_header_without_an_end(self):
        self.send(b"GET / HTTP/1.1\r\nX: ", b"x" * 1000)
        self.assertRefused(431)

    def test_all_headers_together(self):
        self.send(head(b"GET", b"/", *[b"X: " + b"x" * 900] * 4))
        self.assertRefused(431)

    def test_number_of_headers(self):
        self.send(head(b"GET", b"/", *[b"X: x"] * 20))
        self.assertRefused(431)

    def test_as_much_as_may_be(self):
        self.send(head(b"GET", b"/", b"X: " + b"x" * 997, *[b"Y: y"] * 18))
        self.assertEqual(len(self.resource.requests), 1)

    def test_refusal_comes_in_the_form_that_the_client_asked_for(self):
        self.site.refuse = lambda request, status, text: answer(
            request, status, request.getHeader(b"Accept")
        )
        self.send(head(b"GET", b"/", b"Accept: text/x", b"Y: y", b"X: " + b"x" * 1000))
        self.assertTrue(self.sent().endswith(b"text/x"))

    def test_after_another_request(self):
        self.send(head(b"GET", b"/"))
        answer(self.request)
        self.sent()
        self.resource.requests.clear()
        self.logged.clear()
        self.send(head(b"GET", b"/" + b"x" * 1000))
        self.assertRefused(414)

    def test_while_another_request_is_worked_on(self):
        self.send(head(b"GET", b"/"), head(b"GET", b"/" + b"x" * 1000))
        self.assertEqual(self.sent(), b"")
        answer(self.request)
        told = self.sent()
        self.assertLess(told.index(b"HTTP/1.1 200"), told.index(b"HTTP/1.1 414"))

    def test_refused_client_that_talks_on_and_on(self):
        self.send(head(b"GET", b"/" + b"x" * 1000))
        for _ in range(40):
            self.reactor.advance(1)
            self.send(b"x")
        self.assertTrue(self.transport.disconnected)


class TestSlowHeads(LimitsCase):
    def drip(self, data, seconds):
        """Send something, then one byte more every second."""
        self.send(data)
        for _ in range(seconds):
            self.assertEqual(self.sent(), b"")
            self.assertFalse(self.transport.disconnecting)
            self.reactor.advance(1)
            self.send(b"x")

    def assertTimedOut(self):
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 408 "), told)
        self.assertIn(b"Connection: close", told)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.resource.requests, [])
        self.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_request_line(self):
        self.drip(b"GET /", HEAD_TIME)
        self.assertTimedOut()

    def test_headers(self):
        self.drip(b"GET / HTTP/1.1\r\nHost: x\r\nX: ", HEAD_TIME)
        self.assertTimedOut()

    def test_second_request(self):
        self.send(head(b"GET", b"/"))
        answer(self.request)
        self.sent()
        self.resource.requests.clear()
        self.reactor.advance(IDLE_TIME - 1)
        self.drip(b"GET /", HEAD_TIME)
        self.assertTimedOut()

    def test_time_before_the_first_byte_does_not_count(self):
        self.reactor.advance(IDLE_TIME - 1)
        self.drip(b"GET / HTTP/1.1\r\nHost: x\r\nX: ", HEAD_TIME - 1)
        self.send(b"\r\n\r\n")
        self.assertEqual(len(self.resource.requests), 1)
        self.reactor.advance(100 * STALL_TIME)
        self.assertFalse(self.transport.disconnecting)

    def test_small_body(self):
        self.drip(head(b"POST", b"/", b"Content-Length: 100"), BODY_TIME)
        self.assertTimedOut()

    def test_small_body_in_chunks(self):
        self.send(head(b"POST", b"/", b"Transfer-Encoding: chunked"))
        for _ in range(BODY_TIME):
            self.send(chunk(b"x"))
            self.reactor.advance(1)
        self.assertTimedOut()

    def test_the_body_has_a_time_of_its_own(self):
        self.drip(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\nX: ", HEAD_TIME - 1)
        self.drip(b"\r\n\r\n", BODY_TIME - 1)
        self.send(b"x" * 50)
        self.assertEqual(len(self.resource.requests), 1)

    def test_image_data_may_take_its_time(self):
        self.drip(head(b"PUT", UPLOAD, b"Content-Length: 1000"), 10 * STALL_TIME)
        self.reactor.advance(STALL_TIME - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_image_data_may_be_late(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 1000"))
        self.reactor.advance(STALL_TIME - 1)
        self.assertFalse(self.transport.disconnecting)

    def test_also_when_its_head_came_slowly(self):
        self.drip(b"PUT " + UPLOAD + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nX: ", 5)
        self.drip(b"\r\n\r\n", 10 * STALL_TIME)

    def test_no_limit(self):
        self.site.limits = Limits(head_time=None, body_time=None, idle_time=None, stall_time=None)
        self.site.timeOut = None
        self.connect()
        self.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-")
        self.reactor.advance(10**6)
        self.send(b"Length: 5\r\n\r\n")
        self.reactor.advance(10**6)
        self.send(b"hello")
        answer(self.request)
        self.reactor.advance(10**6)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class TestIdleness(LimitsCase):
    def test_before_the_first_request(self):
        self.reactor.advance(IDLE_TIME + 1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.sent(), b"")

    def test_between_requests(self):
        for _ in range(3):
            self.send(head(b"GET", b"/"))
            answer(self.request)
            self.sent()
            self.reactor.advance(IDLE_TIME - 1)
            self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.sent(), b"")

    def test_after_an_upload(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 5"), b"hello")
        answer(self.request)
        self.reactor.advance(IDLE_TIME + 1)
        self.assertTrue(self.transport.disconnecting)


class TestPipelining(LimitsCase):
    """Requests that follow before the one in front is answered."""

    def test_what_waits_is_bounded(self):
        self.send(head(b"GET", b"/"))
        piece = b"x" * 1000
        for _ in range(PIPELINED // 1000):
            self.send(piece)
            self.assertEqual(self.transport.producerState, "producing")
        self.send(piece)
        self.assertEqual(self.transport.producerState, "paused")

    def test_also_while_the_answer_is_not_taken(self):
        self.send(head(b"GET", b"/"))
        self.channel.pauseProducing()
        self.send(b"x" * (PIPELINED + 1))
        self.assertEqual(self.transport.producerState, "paused")

    def test_it_goes_on_when_there_is_room(self):
        self.send(head(b"GET", b"/"))
        self.send(head(b"GET", b"/next") + b"GET /more HTTP/1.1\r\nHost: x\r\n" + b"X: x\r\n" * 15)
        self.send(b"Y: " + b"y" * 900 + b"\r\n\r\n" + head(b"GET", b"/last") * 600)
        self.assertEqual(self.transport.producerState, "paused")
        for path in (b"/", b"/next", b"/more"):
            self.assertEqual(self.request.path, path)
            self.assertEqual(self.transport.producerState, "paused")
            answer(self.request)
        while len(self.resource.requests) < 603:
            answer(self.request)
        self.assertEqual(self.transport.producerState, "producing")

    def test_nothing_is_answered_to_one_who_takes_no_answers(self):
        def render(request):
            self.resource.requests.append(request)
            if len(self.resource.requests) == 2:
                # The socket is full.
                self.channel.pauseProducing()
            answer(request)
            return NOT_DONE_YET

        self.resource.render = render
        self.send(head(b"GET", b"/") * 10)
        self.assertEqual(len(self.resource.requests), 2)
        self.channel.resumeProducing()
        self.assertEqual(len(self.resource.requests), 10)

    def full(self):
        """Leave an answer with a client that does not take it."""
        self.send(head(b"GET", b"/"))
        self.channel.pauseProducing()
        answer(self.request)

    def test_one_who_takes_nothing_is_given_up(self):
        self.full()
        self.reactor.advance(STALL_TIME - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_one_who_took_it_is_idle(self):
        self.full()
        self.reactor.advance(STALL_TIME - 1)
        self.channel.resumeProducing()
        self.reactor.advance(IDLE_TIME - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_one_who_took_it_and_may_be_idle_for_ever(self):
        self.site.limits = Limits(idle_time=None, stall_time=STALL_TIME)
        self.full()
        self.channel.resumeProducing()
        self.reactor.advance(100 * STALL_TIME)
        self.assertFalse(self.transport.disconnecting)

    def test_one_who_goes_away(self):
        self.full()
        self.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertFalse(self.request._disconnected)

    def test_one_who_has_ended_its_sending(self):
        self.full()
        self.channel.readConnectionLost()
        self.assertFalse(self.transport.disconnecting)
        self.channel.resumeProducing()
        self.assertTrue(self.transport.disconnecting)


class Unsent(TCPTransport):
    """A transport that has not sent everything."""

    dataBuffer = b"x" * 10
    offset = 0
    _tempDataLen = 5


class TestClosing(LimitsCase):
    """A connection that the other side does not let end."""

    def close(self, transport=None):
        self.connect(transport)
        self.send(head(b"GET", b"/", b"Connection: close"))
        answer(self.request)
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_left_to_send(self):
        self.close(StringTransport())
        self.reactor.advance(CLOSING_TIME)
        self.assertTrue(self.transport.disconnected)

    def test_something_left_that_is_not_taken(self):
        self.close(Unsent())
        for _ in range(int(STALL_TIME / CLOSING_TIME)):
            self.reactor.advance(CLOSING_TIME)
            self.assertFalse(self.transport.disconnected)
        self.reactor.advance(CLOSING_TIME)
        self.assertTrue(self.transport.disconnected)

    def test_something_left_that_is_taken_slowly(self):
        self.close(Unsent())
        for sent in range(1, 10):
            for _ in range(int(STALL_TIME / CLOSING_TIME)):
                self.reactor.advance(CLOSING_TIME)
            self.assertFalse(self.transport.disconnected)
            self.transport.offset = sent
        self.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class NotedPort:
    """Notes whether it takes connections."""

    reading = True

    def doRead(self):
        pass

    def pauseProducing(self):
        self.reading = False

    def resumeProducing(self):
        self.reading = True


class TestConnections(ChannelCase):
    limits = Limits(connections=2)

    def test_number(self):
        self.lose()
        port = NotedPort()
        self.site.serve(port)
        self.connect()
        first = self.channel
        self.assertTrue(port.reading)
        self.connect()
        self.assertFalse(port.reading)
        first.connectionLost(None)
        self.assertTrue(port.reading)
        self.connect()
        self.assertFalse(port.reading)

    def test_no_limit(self):
        self.site.limits = Limits()
        port = NotedPort()
        self.site.serve(port)
        for _ in range(5):
            self.connect()
        self.lose()
        self.assertTrue(port.reading)


class TestBursts(ChannelCase):
    """Many who come at once, over sockets: what a port takes in one go, no double would tell."""

    limits = Limits(connections=2)

    def setUp(self):
        super().setUp()
        self.lose()

    def listen(self):
        self.port = port = Port(0, self.site, interface="127.0.0.1", reactor=self.reactor)
        port.startListening()
        self.addCleanup(port.connectionLost, Failure(ConnectionDone()))
        self.site.serve(port)

    def come(self, number):
        for _ in range(number):
            client = socket.create_connection(self.port.socket.getsockname(), timeout=60)
            self.addCleanup(client.close)

    def turn(self, times=10):
        """Have the port do what a reactor would."""
        for _ in range(times):
            if self.port in self.reactor.readers:
                self.port.doRead()
        return [each for each in self.reactor.readers if each is not self.port]

    def test_no_more_than_may_be(self):
        self.listen()
        self.come(40)
        opened = self.turn()
        self.assertEqual(len(opened), 2)
        for left in range(40, 0, -1):
            opened.pop().connectionLost(Failure(ConnectionDone()))
            opened = self.turn()
            self.assertEqual(len(opened), min(2, left - 1))

    def test_also_after_a_while(self):
        self.site.limits = Limits(connections=10)
        self.listen()
        for _ in range(3):
            self.come(8)
            opened = self.turn(20)
            self.assertEqual(len(opened), 8)
            self.come(8)
            opened = self.turn(20)
            self.assertEqual(len(opened), 10)
            while opened:
                opened.pop().connectionLost(Failure(ConnectionDone()))
                opened = self.turn()

    def test_no_limit(self):
        self.site.limits = Limits()
        self.listen()
        self.come(40)
        self.assertEqual(len(self.turn(1)), 40)


class TestTrailersAndExtensions(LimitsCase):
    def begin(self):
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"), chunk(b"hello"))
        return self.request.body

    def test_trailers(self):
        body = self.begin()
        self.send(b"0\r\nX: y\r\n\r\n")
        self.assertEqual(self.drain(body), (b"hello", True))

    def test_trailers_beyond_the_limit(self):
        waiting = self.begin().next()
        self.send(b"0\r\n")
        for _ in range(17):
            self.send(b"X: " + b"y" * 997 + b"\r\n")
        self.failureResultOf(waiting, Invalid)

    def test_extensions(self):
        body = self.begin()
        self.send(b"5;name=value\r\nworld\r\n0\r\n\r\n")
        self.assertEqual(self.drain(body), (b"helloworld", True))

    def test_extensions_far_beyond_the_data(self):
        waiting = self.begin().next()
        for _ in range(100):
            self.send(b"1;x=" + b"y" * 1000 + b"\r\nz\r\n")
        self.failureResultOf(waiting, Invalid)

    def test_extensions_that_go_with_much_data(self):
        body = self.begin()
        for _ in range(100):
            self.send(b"1000;signature=" + b"y" * 1000 + b"\r\n", bytes(4096), b"\r\n")
            self.drain(body)
        self.send(b"0\r\n\r\n")
        self.assertEqual(self.drain(body), (b"", True))
