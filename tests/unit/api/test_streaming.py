"""The HTTP channel, byte by byte over an in-memory transport and by a clock that the test turns."""

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.web.server import NOT_DONE_YET

from glance.api.channel import CRUMBS_READ_SIZE, LINGER_IDLE, LINGER_TIME, READ_SIZE
from glance.domain.errors import Invalid
from tests.unit.api.channels import (
    LIMIT,
    TIMEOUT,
    UPLOAD,
    ChannelCase,
    TCPTransport,
    answer,
    chunk,
    head,
)

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class TestDispatch(ChannelCase):
    def test_streaming_request_is_dispatched_before_its_body(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 5"))
        self.assertEqual(self.request.body.length, 5)
        self.assertEqual((self.request.method, self.request.path), (b"PUT", UPLOAD))
        self.assertTrue(self.request.body_pending)
        self.send(b"he", b"llo")
        self.assertEqual(self.drain(self.request.streaming_body()), (b"hello", True))
        self.assertFalse(self.request.body_pending)

    def test_chunked_body_streams_without_a_length(self):
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"), chunk(b"hel"), chunk(b"lo"))
        self.assertIsNone(self.request.body.length)
        self.send(b"0\r\n\r\n")
        self.assertEqual(self.drain(self.request.streaming_body()), (b"hello", True))

    def test_body_arriving_a_byte_at_a_time(self):
        for byte in head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked") + chunk(b"hello"):
            self.send(bytes([byte]))
        self.send(b"0\r\n\r\n")
        self.assertEqual(self.drain(self.request.streaming_body()), (b"hello", True))

    def test_empty_body_is_a_stream_that_has_ended(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 0"))
        self.assertFalse(self.request.body_pending)
        self.assertEqual(self.drain(self.request.streaming_body()), (b"", True))

    def test_body_that_did_not_stream_is_handed_out_as_a_stream_all_the_same(self):
        for headers, body in [
            ([b"Content-Length: 5"], b"hello"),
            ([b"Transfer-Encoding: chunked"], chunk(b"hello") + b"0\r\n\r\n"),
        ]:
            self.connect()
            self.send(head(b"PUT", b"/elsewhere", *headers), body)
            self.assertEqual(self.drain(self.request.streaming_body()), (b"hello", True))

    def test_other_requests_are_dispatched_with_their_body(self):
        self.send(head(b"POST", b"/json?a=b", b"Content-Length: 5"), b"he")
        self.assertEqual(self.resource.requests, [])
        self.send(b"llo")
        self.assertEqual(self.request.content.read(), b"hello")
        self.assertEqual(self.request.args, {b"a": [b"b"]})

    def test_query_that_is_no_text_is_the_resource_s_business(self):
        for path in (b"/json?name=%ff", b"/json?%ff=x&;&="):
            self.connect()
            self.send(head(b"GET", path))
            self.assertEqual(self.request.uri, path)

    def test_next_request_on_the_connection_is_served(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 2"), b"hi" + head(b"GET", b"/next"))
        self.assertEqual(len(self.resource.requests), 1)
        answer(self.request)
        self.assertNotIn(b"close", self.sent())
        self.assertEqual(self.request.uri, b"/next")
        answer(self.request)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual([r.uri for r in self.logged], [UPLOAD, b"/next"])

    def test_memory_of_a_body_that_nobody_read_comes_back(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 2"), b"hi")
        answer(self.request)
        self.assertEqual(self.pool.out, [])


class TestBodyLimit(ChannelCase):
    def assertRefused(self):
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 413"), told)
        self.assertIn(b"Connection: close", told)
        self.assertNotIn(CONTINUE, told)
        self.assertEqual(self.resource.requests, [])

    def test_declared_length(self):
        self.send(head(b"POST", b"/json", b"Content-Length: %d" % (LIMIT + 1)))
        self.assertRefused()

    def test_refusal_is_not_preceded_by_an_invitation(self):
        expect = b"Expect: 100-continue"
        self.send(head(b"POST", b"/json", b"Content-Length: %d" % (LIMIT + 1), expect))
        self.assertRefused()

    def test_chunked(self):
        self.send(head(b"POST", b"/json", b"Transfer-Encoding: chunked"), chunk(bytes(LIMIT)))
        self.assertEqual(self.sent(), b"")
        self.send(chunk(b"x"))
        self.assertRefused()
        self.send(chunk(b"x" * LIMIT), b"0\r\n\r\n")
        self.assertEqual(self.sent(), b"")
        self.assertTrue(self.transport.disconnecting)

    def test_limit_itself_is_allowed(self):
        self.send(head(b"POST", b"/json", b"Content-Length: %d" % LIMIT), bytes(LIMIT))
        self.assertEqual(len(self.request.content.read()), LIMIT)

    def test_streaming_bodies_have_no_limit_here(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: %d" % (LIMIT + 1)), bytes(LIMIT + 1))
        self.assertEqual(self.drain(self.request.body), (bytes(LIMIT + 1), True))


class TestUnmeasuredBodies(ChannelCase):
    """Where a body's end cannot be told nothing of it becomes data or a next request."""

    NEXT = head(b"GET", b"/next")

    def assertRefused(self, status, *request):
        self.connect()
        self.send(*request, self.NEXT)
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 %d " % status), told)
        self.assertEqual(told.count(b"HTTP/1.1"), 1)
        self.assertIn(b"Connection: close", told)
        self.assertEqual(self.resource.requests, [])
        self.reactor.advance(LINGER_IDLE + 1)
        self.assertTrue(self.transport.disconnecting)

    def test_upload_without_a_length(self):
        self.assertRefused(411, head(b"PUT", UPLOAD))
        self.assertRefused(411, head(b"PUT", UPLOAD), b"hello")

    def test_upload_by_an_old_client_that_ends_it_by_closing(self):
        self.send(head(b"PUT", UPLOAD, version=b"HTTP/1.0"), b"hello")
        self.assertTrue(self.sent().startswith(b"HTTP/1.0 411"))
        self.lose()
        self.assertEqual(self.resource.requests, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_transfer_encoding_that_says_nothing(self):
        identity = b"Transfer-Encoding: identity"
        for path in (UPLOAD, b"/json"):
            self.assertRefused(501, head(b"PUT", path, identity))
            self.assertRefused(501, head(b"PUT", path, identity, b"Content-Length: 5"), b"hello")
            self.assertRefused(501, head(b"PUT", path, b"Content-Length: 5", identity), b"hello")

    def test_unknown_transfer_encoding(self):
        for coding in (b"gzip", b"gzip, chunked", b"chunked, chunked", b"\xff"):
            self.assertRefused(400, head(b"PUT", UPLOAD, b"Transfer-Encoding: " + coding, b"X: y"))

    def test_length_beyond_reason(self):
        for digits in (19, 900):
            self.assertRefused(
                400, head(b"PUT", UPLOAD, b"Content-Length: " + b"9" * digits, b"X: y")
            )


class TestContinue(ChannelCase):
    EXPECTING = head(b"PUT", UPLOAD, b"Content-Length: 5", b"Expect: 100-continue")

    def test_sent_when_the_body_is_read_and_only_then(self):
        self.send(self.EXPECTING)
        self.assertEqual(self.sent(), b"")
        self.request.body.next().addErrback(lambda f: None)
        self.assertEqual(self.sent(), CONTINUE)
        self.send(b"hello")
        answer(self.request)
        self.assertTrue(self.sent().startswith(b"HTTP/1.1 200"))

    def test_sent_at_once_when_the_body_was_read_at_once(self):
        def read(request):
            request.streaming_body().next().addErrback(lambda f: None)
            return NOT_DONE_YET

        self.resource.render = read
        self.send(self.EXPECTING)
        self.assertEqual(self.sent(), CONTINUE)

    def test_never_sent_after_an_answer_given_at_once(self):
        self.resource.refuse = 404
        self.send(self.EXPECTING)
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 404"))
        self.assertNotIn(b"100 Continue", told)

    def test_never_sent_after_an_answer_given_later(self):
        self.send(self.EXPECTING)
        answer(self.request, 409)
        self.assertTrue(self.sent().startswith(b"HTTP/1.1 409"))

    def test_sent_at_once_for_bodies_that_do_not_stream(self):
        self.send(head(b"POST", b"/json", b"Content-Length: 5", b"Expect: 100-continue"))
        self.assertEqual(self.sent(), CONTINUE)

    def test_not_sent_to_an_old_client(self):
        headers = [b"Content-Length: 5", b"Expect: 100-continue"]
        self.send(head(b"PUT", UPLOAD, *headers, version=b"HTTP/1.0"))
        self.request.body.next().addErrback(lambda f: None)
        self.assertEqual(self.sent(), b"")

    def test_next_request_begins_anew(self):
        self.send(self.EXPECTING)
        self.request.body.next().addErrback(lambda f: None)
        self.send(b"hello")
        answer(self.request)
        self.sent()
        self.send(self.EXPECTING)
        self.assertEqual(self.sent(), b"")
        self.request.body.next().addErrback(lambda f: None)
        self.assertEqual(self.sent(), CONTINUE)


class TestLingering(ChannelCase):
    def refuse(self):
        self.resource.refuse = 409
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 1000"))

    def test_early_answer_announces_the_end_of_the_connection(self):
        self.refuse()
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 409"))
        self.assertIn(b"Connection: close", told)
        self.assertFalse(self.transport.disconnecting)

    def test_announced_end_comes_although_the_body_ended_before_the_answer(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 5"))
        self.request.setHeader(b"content-length", b"2")
        self.request.write(b"o")
        self.assertIn(b"Connection: close", self.sent())
        self.send(b"hello")
        self.request.write(b"k")
        self.request.finish()
        self.assertTrue(self.transport.disconnecting)

    def test_closes_when_the_body_has_ended(self):
        self.refuse()
        self.send(bytes(999))
        self.assertFalse(self.transport.disconnecting)
        self.send(b"x")
        self.assertTrue(self.transport.disconnecting)

    def test_what_follows_the_body_is_not_served(self):
        self.refuse()
        self.send(bytes(1000) + head(b"GET", b"/next"))
        self.assertEqual(len(self.resource.requests), 1)

    def test_keeps_none_of_it(self):
        self.refuse()
        self.send(bytes(900))
        self.assertEqual(self.pool.most, 0)

    def test_silence_ends_it(self):
        self.refuse()
        self.reactor.advance(LINGER_IDLE - 0.1)
        self.assertFalse(self.transport.disconnecting)
        self.send(b"x")
        self.reactor.advance(LINGER_IDLE - 0.1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(0.2)
        self.assertTrue(self.transport.disconnecting)

    def test_talking_on_and_on_ends_it_too(self):
        self.refuse()
        for _ in range(int(LINGER_TIME)):
            self.assertFalse(self.transport.disconnected)
            self.reactor.advance(1)
            self.send(b"x")
        self.assertTrue(self.transport.disconnected)

    def test_lost_connection_leaves_no_timer(self):
        self.refuse()
        self.lose()
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_body_that_was_paused_flows_on_to_its_end(self):
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"))
        self.channel.pause()
        self.assertEqual(self.transport.producerState, "paused")
        answer(self.request, 413)
        self.assertEqual(self.transport.producerState, "producing")
        self.send(chunk(b"more"), b"0\r\n\r\n")
        self.assertTrue(self.transport.disconnecting)


class TestFlow(ChannelCase):
    def begin(self, transport=None):
        self.connect(transport)
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 1000"))

    def test_pause_and_resume_reach_the_transport(self):
        self.begin()
        self.channel.pause()
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resume()
        self.assertEqual(self.transport.producerState, "producing")

    def test_room_to_write_does_not_undo_the_pause(self):
        self.begin()
        self.channel.pause()
        self.channel.pauseProducing()
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "paused")

    def test_body_waits_for_a_transport_that_cannot_write(self):
        self.begin()
        self.channel.pause()
        self.channel.pauseProducing()
        self.channel.resume()
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")

    def test_silent_client_is_timed_out(self):
        self.begin()
        self.reactor.advance(TIMEOUT - 1)
        self.send(b"x")
        self.reactor.advance(TIMEOUT - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_client_that_we_paused_is_not_timed_out(self):
        self.begin()
        self.channel.pause()
        self.reactor.advance(10 * TIMEOUT)
        self.assertFalse(self.transport.disconnecting)
        self.channel.resume()
        self.reactor.advance(TIMEOUT - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_client_is_not_timed_out_while_we_work_on_what_it_sent(self):
        self.begin()
        self.send(bytes(1000))
        self.reactor.advance(10 * TIMEOUT)
        self.assertFalse(self.transport.disconnecting)

    def test_nor_when_the_end_of_the_body_arrived_while_it_was_paused(self):
        self.begin()
        self.channel.pause()
        self.send(bytes(1000))
        self.channel.resume()
        self.reactor.advance(10 * TIMEOUT)
        self.assertFalse(self.transport.disconnecting)
        answer(self.request)
        self.reactor.advance(TIMEOUT - 1)
        self.assertFalse(self.transport.disconnecting)
        self.reactor.advance(2)
        self.assertTrue(self.transport.disconnecting)

    def test_large_reads_for_long_bodies_only(self):
        self.begin(TCPTransport())
        self.assertEqual(self.transport.bufferSize, READ_SIZE)
        self.send(bytes(1000))
        self.assertEqual(self.transport.bufferSize, TCPTransport.bufferSize)

    def test_small_reads_while_the_body_comes_in_crumbs(self):
        self.connect(TCPTransport())
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"))
        self.send(chunk(b"x") * 10)
        self.assertEqual(self.transport.bufferSize, CRUMBS_READ_SIZE)
        self.send(chunk(bytes(1000)))
        self.assertEqual(self.transport.bufferSize, READ_SIZE)
        self.send(chunk(b"x") * 10, b"0\r\n\r\n")
        self.assertEqual(self.transport.bufferSize, TCPTransport.bufferSize)


class TestBreakingOff(ChannelCase):
    def test_lost_connection_fails_the_body(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 1000"), b"x")
        waiting = self.request.body.next()
        self.lose()
        self.failureResultOf(waiting, Invalid)
        self.assertEqual(self.pool.out, [])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_lost_connection_after_the_body_leaves_it_readable(self):
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 5"), b"hello")
        self.lose()
        self.assertEqual(self.drain(self.request.body), (b"hello", True))

    def test_chunks_that_make_no_sense_fail_the_body_whose_reader_answers(self):
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"), chunk(b"hello"))
        waiting = self.request.body.next()
        self.send(b"nonsense\r\n" + chunk(b"more") + b"0\r\n\r\n" + head(b"GET", b"/next"))
        self.failureResultOf(waiting, Invalid)
        self.assertEqual(self.sent(), b"")
        answer(self.request, 400)
        told = self.sent()
        self.assertTrue(told.startswith(b"HTTP/1.1 400"))
        self.assertIn(b"Connection: close", told)
        self.send(head(b"GET", b"/next"))
        self.assertEqual(len(self.resource.requests), 1)
        self.reactor.advance(LINGER_IDLE + 1)
        self.assertTrue(self.transport.disconnecting)

    def test_nonsense_after_an_early_answer_is_thrown_away(self):
        self.resource.refuse = 409
        self.send(head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked"))
        self.assertTrue(self.sent().startswith(b"HTTP/1.1 409"))
        self.send(b"nonsense\r\n", b"more")
        self.assertEqual(self.sent(), b"")

    def test_two_lengths_are_refused(self):
        for second in (b"Content-Length: 6", b"Transfer-Encoding: chunked"):
            self.connect()
            self.send(head(b"PUT", UPLOAD, b"Content-Length: 5", second))
            self.assertTrue(self.sent().startswith(b"HTTP/1.1 400"))
            self.assertEqual(self.resource.requests, [])


class TestHalfClosing(ChannelCase):
    """A client that ends its sending may still wait for answers."""

    def end(self):
        self.channel.readConnectionLost()

    def test_the_transport_will_say_so(self):
        self.assertTrue(IHalfCloseableProtocol.providedBy(self.channel))

    def test_idle_connection_is_closed(self):
        self.end()
        self.assertTrue(self.transport.disconnecting)

    def test_request_under_way_is_answered_first(self):
        for path in (UPLOAD, b"/json"):
            self.connect()
            self.send(head(b"PUT", path, b"Content-Length: 5"), b"hello")
            self.end()
            self.assertFalse(self.transport.disconnecting)
            answer(self.request)
            self.assertTrue(self.sent().endswith(b"ok"))
            self.assertTrue(self.transport.disconnecting)

    def test_requests_that_wait_behind_it_are_answered_too(self):
        self.send(head(b"GET", b"/a") + head(b"GET", b"/b") + head(b"GET", b"/c")[:-2])
        self.end()
        answer(self.request)
        self.assertEqual(self.request.uri, b"/b")
        self.assertFalse(self.transport.disconnecting)
        answer(self.request)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.sent().count(b"ok"), 2)
        self.assertEqual(len(self.resource.requests), 2)

    def test_requests_answered_at_once_do_not_keep_it_open(self):
        self.resource.refuse = 404
        self.send(head(b"GET", b"/a"))
        self.end()
        self.assertTrue(self.transport.disconnecting)

    def test_connection_that_is_being_closed_is_left_alone(self):
        self.send(head(b"GET", b"/a") + head(b"GET", b"/b", b"nonsense"))
        self.end()
        answer(self.request)
        self.assertIn(b"HTTP/1.1 400", self.sent())
        self.assertTrue(self.transport.disconnecting)

    def test_unfinished_requests_are_lost(self):
        for request in (
            head(b"PUT", UPLOAD, b"Content-Length: 5") + b"hell",
            head(b"PUT", UPLOAD, b"Transfer-Encoding: chunked") + chunk(b"hello"),
            head(b"PUT", b"/json", b"Content-Length: 5") + b"hell",
            b"GET / HTTP/1.1\r\n",
        ):
            self.connect()
            self.send(request)
            self.end()
            self.assertTrue(self.transport.disconnecting)

    def test_lingering_ends(self):
        self.resource.refuse = 409
        self.send(head(b"PUT", UPLOAD, b"Content-Length: 1000"), b"x")
        self.end()
        self.assertTrue(self.sent().startswith(b"HTTP/1.1 409"))
        self.assertTrue(self.transport.disconnecting)
