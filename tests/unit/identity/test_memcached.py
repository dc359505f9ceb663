"""Memcached: what is kept there, and that nobody suffers when it is away."""

from __future__ import annotations

from collections import Counter

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from glance.domain.errors import ConfigError
from glance.identity import memcached
from glance.identity.memcached import VALUE_LIMIT, Memcached, Ring, Server, make_endpoint
from glance.identity.sealing import Encrypted, Open

DEAD, TIMEOUT, IDLE = 300, 3, 60


class Transport(StringTransport):
    """A connection to a server that keeps things in a dictionary."""

    def __init__(self, server, protocol):
        super().__init__()
        self.server = server
        self.protocol = protocol

    def write(self, data):
        super().write(data)
        if not self.server.silent:
            # Not at once: Twisted's protocol notes what it asked when it has asked.
            self.server.clock.callLater(0, self.answer)

    def answer(self):
        """Answer all that was asked."""
        if self.disconnected:
            return
        data = self.value()
        while b"\r\n" in data:
            line, _, rest = data.partition(b"\r\n")
            words = line.split()
            if words[0] == b"set":
                length = int(words[4])
                if len(rest) < length + 2:
                    break
                self.server.kept[words[1]] = (rest[:length], int(words[3]))
                rest = rest[length + 2 :]
                reply = b"STORED\r\n"
            else:
                self.server.gets += 1
                value = self.server.kept.get(words[1])
                head = b"" if value is None else b"VALUE %b 0 %d\r\n" % (words[1], len(value[0]))
                reply = head + (b"" if value is None else value[0] + b"\r\n") + b"END\r\n"
            data = rest
            self.clear()
            super().write(data)
            self.protocol.dataReceived(self.server.nonsense or reply)

    def abortConnection(self):
        self.lose(ConnectionAborted())

    def loseConnection(self):
        self.lose(ConnectionDone())

    def lose(self, reason):
        if not self.disconnected:
            self.disconnected = True
            self.protocol.connectionLost(Failure(reason))


class Fake:
    """A server, and the endpoint that connects to it."""

    def __init__(self, clock):
        self.clock = clock
        self.kept = {}
        self.gets = 0
        self.connections = []
        self.silent = False
        self.nonsense = b""
        self.refuse = False
        self.hang = False

    def connect(self, factory):
        if self.refuse:
            return fail(ConnectionRefusedError())
        if self.hang:
            return Deferred()
        protocol = factory.buildProtocol(None)
        transport = Transport(self, protocol)
        protocol.makeConnection(transport)
        self.connections.append(transport)
        return succeed(protocol)

    @property
    def open(self):
        return [one for one in self.connections if not one.disconnected]


class MemcachedCase(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.fakes = [Fake(self.clock) for _ in range(3)]
        self.shelf = self.make(self.fakes[:1])
        self.warnings = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)

    def observe(self, event):
        if event.get("log_level") is not None and event["log_level"] >= LogLevel.warn:
            self.warnings.append(formatEvent(event))

    def make(self, fakes, seal=None):
        servers = [
            Server(
                self.clock,
                f"server{number}:11211",
                fake,
                timeout=TIMEOUT,
                dead_retry=DEAD,
                idle_time=IDLE,
            )
            for number, fake in enumerate(fakes)
        ]
        return Memcached(servers, seal or Open(), b"prefix")

    def asked(self, key=b"k"):
        return Deferred.fromCoroutine(self.shelf.get(key))

    def get(self, key=b"k"):
        asked = self.asked(key)
        self.clock.advance(0)
        return self.successResultOf(asked)

    def put(self, key, value, life=30):
        self.shelf.put(key, value, life)
        self.clock.advance(0)


class TestMemcached(MemcachedCase):
    def test_what_was_put_is_got(self):
        self.assertIsNone(self.get())
        value = bytes(range(256)) * 300
        self.put(b"k", value, 30.9)
        self.assertEqual(self.get(), value)
        self.assertEqual(self.fakes[0].kept, {b"prefix:open:k": (value, 30)})

    def test_one_connection_serves_all(self):
        for _ in range(5):
            self.get()
        self.assertEqual(len(self.fakes[0].connections), 1)

    def test_connection_is_pipelined(self):
        self.put(b"a", b"A", 9)
        self.fakes[0].silent = True
        asked = [self.asked(key) for key in (b"a", b"b", b"a")]
        self.fakes[0].connections[0].answer()
        self.assertEqual([self.successResultOf(one) for one in asked], [b"A", None, b"A"])

    def test_what_cannot_be_kept(self):
        self.get()
        for value, life in [(b"x" * (VALUE_LIMIT + 1), 30), (b"x", 0.5), (b"x", -1)]:
            self.put(b"k", value, life)
        self.assertEqual(self.fakes[0].kept, {})
        # More seconds than that would be taken for a date.
        self.put(b"k", b"x", 10**9)
        self.assertEqual(self.fakes[0].kept[b"prefix:open:k"][1], 30 * 24 * 3600 - 1)

    def test_what_is_sealed(self):
        self.shelf = self.make(self.fakes[:1], Encrypted(b"secret"))
        self.put(b"k", b"canary", 30)
        [(name, (kept, _))] = self.fakes[0].kept.items()
        self.assertEqual(name, b"prefix:aes:k")
        self.assertNotIn(b"canary", kept)
        self.assertEqual(self.get(), b"canary")
        self.fakes[0].kept[name] = (kept[:-1] + bytes([kept[-1] ^ 1]), 30)
        self.assertIsNone(self.get())
        self.assertEqual(len(self.warnings), 1)

    def test_idle_connection_is_closed_and_made_again(self):
        self.get()
        self.clock.advance(IDLE - 1)
        self.get()
        self.clock.advance(IDLE - 1)
        self.assertEqual(len(self.fakes[0].open), 1)
        self.clock.advance(1)
        self.assertEqual(self.fakes[0].open, [])
        self.get()
        self.assertEqual(len(self.fakes[0].open), 1)
        self.assertEqual(self.warnings, [])

    def test_stopping_closes_everything(self):
        self.get()
        self.shelf.stop()
        self.assertEqual(self.fakes[0].open, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_in_the_middle(self):
        self.get()
        self.fakes[0].silent = True
        asked = self.asked()
        self.shelf.put(b"k", b"v", 30)
        self.shelf.stop()
        self.assertIsNone(self.successResultOf(asked))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopping_while_connecting(self):
        self.fakes[0].hang = True
        asked = self.asked()
        self.shelf.stop()
        self.assertIsNone(self.successResultOf(asked))
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TestTrouble(MemcachedCase):
    def dead(self, seconds=DEAD):
        """Check that the server is left alone for that long, and then asked again."""
        count = len(self.fakes[0].connections)
        gets = self.fakes[0].gets
        self.fakes[0].refuse = self.fakes[0].hang = self.fakes[0].silent = False
        self.fakes[0].nonsense = b""
        self.clock.advance(seconds - TIMEOUT - 0.1)
        self.assertIsNone(self.get())
        self.put(b"k", b"v", 30)
        self.assertEqual((len(self.fakes[0].connections), self.fakes[0].gets), (count, gets))
        self.clock.advance(TIMEOUT + 0.1)
        self.put(b"k", b"v", 30)
        self.assertEqual(self.get(), b"v")

    def test_server_that_refuses(self):
        self.fakes[0].refuse = True
        for _ in range(3):
            self.assertIsNone(self.get())
        [line] = self.warnings
        self.assertIn("server0:11211 cannot be used and is left alone for 300 s", line)
        self.dead()

    def test_server_that_cannot_be_connected_to(self):
        self.fakes[0].hang = True
        asked = [self.asked() for _ in range(3)]
        self.clock.advance(TIMEOUT)
        for one in asked:
            self.assertIsNone(self.successResultOf(one))
        self.assertEqual(len(self.warnings), 1)
        self.dead()

    def test_server_that_does_not_answer(self):
        self.fakes[0].silent = True
        asked = [self.asked() for _ in range(3)]
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(asked[0])
        self.clock.advance(0.1)
        for one in asked:
            self.assertIsNone(self.successResultOf(one))
        self.assertEqual(len(self.warnings), 1)
        self.assertEqual(self.fakes[0].open, [])
        self.dead()

    def test_server_that_is_slow_bit_by_bit(self):
        """Every byte would put off the time limit of Twisted's protocol."""
        self.fakes[0].silent = True
        asked = self.asked()
        for byte in b"VALUE":
            self.fakes[0].connections[0].protocol.dataReceived(bytes([byte]))
            self.clock.advance(TIMEOUT / 4)
        self.assertIsNone(self.successResultOf(asked))

    def test_put_waits_for_nothing_and_fails_quietly(self):
        self.fakes[0].silent = True
        self.assertIsNone(self.shelf.put(b"k", b"v", 30))
        self.clock.advance(TIMEOUT)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_restarted_server_is_asked_again_at_once(self):
        self.get()
        self.fakes[0].silent = True
        asked = self.asked()
        self.fakes[0].connections[0].loseConnection()
        self.assertIsNone(self.successResultOf(asked))
        self.fakes[0].silent = False
        self.put(b"k", b"v", 30)
        self.assertEqual(self.get(), b"v")
        self.assertEqual(len(self.fakes[0].connections), 2)
        self.assertEqual(self.warnings, [])

    def test_refused_commands_are_no_reason_not_to_ask_again(self):
        for reply in (b"ERROR\r\n", b"CLIENT_ERROR no\r\n", b"SERVER_ERROR out of memory\r\n"):
            self.fakes[0].nonsense = reply
            self.assertIsNone(self.get())
        self.fakes[0].nonsense = b""
        self.put(b"k", b"v", 30)
        self.assertEqual(self.get(), b"v")
        self.assertEqual(self.warnings, [])
        self.assertEqual(len(self.fakes[0].connections), 1)

    def test_nonsense_closes_the_connection(self):
        for reply in (
            b"HTTP/1.1 400 Bad Request\r\n",
            b"VALUE other 0 1\r\nx\r\nEND\r\n",
            b"VALUE prefix:open:k 0 many\r\n",
            b"VALUE\r\n",
            b"VALUE prefix:open:k 0 %d\r\n" % (VALUE_LIMIT + 1),
            b"END\r\nEND\r\n",
            b"\xff\r\n",
            b"7\r\n",
            b"STORED\r\n",
            b"OK\r\n",
            b"NOT_FOUND\r\n",
            b"x" * 20000,
        ):
            fake = Fake(self.clock)
            fake.nonsense = reply
            self.shelf = self.make([fake])
            asked = self.asked()
            # Not only when the time is up.
            self.clock.advance(0)
            self.successResultOf(asked)
            self.assertEqual(fake.open, [], reply)
            self.shelf.stop()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled_question(self):
        self.get()
        self.fakes[0].silent = True
        first, second = self.asked(), self.asked()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.fakes[0].connections[0].answer()
        self.assertIsNone(self.successResultOf(second))
        self.assertEqual(self.warnings, [])

    def test_cancelled_connecting_disturbs_no_other(self):
        self.fakes[0].hang = True
        first, second = self.asked(), self.asked()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertNoResult(second)
        self.clock.advance(TIMEOUT)
        self.assertIsNone(self.successResultOf(second))


class TestSeveral(MemcachedCase):
    def setUp(self):
        super().setUp()
        self.shelf = self.make(self.fakes)
        self.keys = [b"key-%d" % number for number in range(60)]

    def put_all(self):
        for key in self.keys:
            self.put(key, key, 900)

    def test_each_has_its_share(self):
        self.put_all()
        self.assertTrue(all(fake.kept for fake in self.fakes))
        self.assertEqual(sum(len(fake.kept) for fake in self.fakes), len(self.keys))
        for key in self.keys:
            self.assertEqual(self.get(key), key)

    def test_another_takes_the_share_of_one_that_is_away(self):
        self.put_all()
        lost = len(self.fakes[0].kept)
        self.fakes[0].refuse = True
        for connection in self.fakes[0].open:
            connection.loseConnection()
        found = [self.get(key) for key in self.keys]
        self.assertEqual(found.count(None), lost)
        self.put_all()
        self.assertEqual([self.get(key) for key in self.keys], self.keys)
        self.assertEqual(len(self.warnings), 1)

    def test_all_away(self):
        for fake in self.fakes:
            fake.refuse = True
        for key in self.keys:
            self.assertIsNone(self.get(key))
        self.put_all()
        self.assertEqual(len(self.warnings), 3)


class TestRing:
    def test_shares_are_nearly_equal(self):
        ring = Ring(["a:1", "b:1", "c:1", "d:1"])
        shares = Counter(ring.order(b"%d" % number)[0] for number in range(8000))
        assert all(1200 < share < 2800 for share in shares.values())

    def test_every_server_is_in_every_order(self):
        ring = Ring(["a:1", "b:1", "c:1"])
        assert sorted(ring.order(b"x")) == [0, 1, 2]

    def test_all_processes_agree(self):
        assert Ring(["a:1", "b:1"]).order(b"x") == Ring(["a:1", "b:1"]).order(b"x")

    def test_another_server_moves_its_own_share_only(self):
        before, after = Ring(["a:1", "b:1", "c:1"]), Ring(["a:1", "b:1", "c:1", "d:1"])
        for number in range(500):
            key = b"%d" % number
            assert after.order(key)[0] in (before.order(key)[0], 3)


class TestEndpoints:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("cache.example", "cache.example", 11211),
            ("cache.example:1234", "cache.example", 1234),
            ("inet:127.0.0.1:1234", "127.0.0.1", 1234),
            ("[::1]:1234", "::1", 1234),
            ("[::1]", "::1", 11211),
            ("inet6:[::1]:1234", "::1", 1234),
            ("::1", "::1", 11211),
        ],
    )
    def test_hosts(self, text, host, port):
        endpoint = make_endpoint(MemoryReactorClock(), text, 3)
        assert isinstance(endpoint, HostnameEndpoint)
        assert (endpoint._hostText, endpoint._port) == (host, port)

    def test_path(self):
        endpoint = make_endpoint(MemoryReactorClock(), "unix:/run/memcached.sock", 3)
        assert isinstance(endpoint, UNIXClientEndpoint)
        assert endpoint._path == "/run/memcached.sock"

    @pytest.mark.parametrize(
        "text", ["", ":1", "h:", "h:0", "h:65536", "h:x", "h:²", "[::1]x", "unix:", "h:-1"]
    )
    def test_what_is_none(self, text):
        with pytest.raises(ConfigError, match=r"\[keystone_authtoken\] memcached_servers"):
            make_endpoint(MemoryReactorClock(), text, 3)


def test_limit_is_what_memcached_has():
    assert memcached.VALUE_LIMIT == 2**20
