"""Connections: where they go to, where they never go, and how they end."""

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IPolicyForHTTPS
from zope.interface import implementer

from glance.domain.urifilter import UriFilter
from glance.stores import outbound
from glance.stores.errors import BadStoreConfiguration, FetchRefused, RemoteUnavailable
from glance.stores.outbound import Outbound
from glance.stores.resolving import MOST
from glance.stores.trust import make_policy
from glance.stores.tunnel import Proxy, basic, parse_proxies

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"


@implementer(IHostnameResolver)
class Names:
    """A name server; each answer for a name is given once, the last one for ever."""

    def __init__(self, **answers):
        self.answers = {name.replace("_", "."): list(each) for name, each in answers.items()}
        self.asked = []
        self.held = None

    def resolveHostName(self, receiver, name, portNumber=0, types=None, semantics="TCP"):
        self.asked.append(name)
        receiver.resolutionBegan(None)
        if self.held is not None:
            self.held.append(receiver)
            return
        answers = self.answers.get(name, [[]])
        for address in answers.pop(0) if len(answers) > 1 else answers[0]:
            kind = IPv6Address if ":" in address else IPv4Address
            receiver.addressResolved(kind("TCP", address, portNumber))
        receiver.resolutionComplete()


@implementer(IPolicyForHTTPS)
class NoTls:
    """Notes for whom certificates have to be, and goes no further."""

    def __init__(self):
        self.asked = []

    def creatorForNetloc(self, hostname, port):
        self.asked.append((hostname, port))
        raise ZeroDivisionError


class Line(StringTransport):
    """A connection that can be cut."""

    aborting = False

    def abortConnection(self):
        self.aborting = True

    def setTcpNoDelay(self, enabled):
        pass


class OutboundCase(SynchronousTestCase):
    rules = UriFilter()
    proxies = None

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.names = Names(
            good_example=[["192.0.2.1"]],
            two_example=[["192.0.2.1", "2001:db8::1"]],
            bad_example=[["127.0.0.1"]],
            mixed_example=[["192.0.2.1", "::ffff:169.254.169.254"]],
            rebinding_example=[["192.0.2.1"], ["127.0.0.1"]],
        )
        self.reactor.nameResolver = self.names
        self.tls = NoTls()
        self.outbound = Outbound(self.reactor, self.rules, self.tls, self.proxies)

    def ask(self, url, method=b"GET", **headers):
        target = self.rules.check(url)
        return self.outbound.request(method, target, Headers({k: [v] for k, v in headers.items()}))

    def connections(self):
        return [client[:2] for client in self.reactor.tcpClients]

    def connect(self, index=-1):
        """Let a connection come about; return its protocol and transport."""
        host, port, factory, *_ = self.reactor.tcpClients[index]
        protocol = factory.buildProtocol(IPv4Address("TCP", host, port))
        transport = Line()
        protocol.makeConnection(transport)
        return protocol, transport


class AddressTests(OutboundCase):
    def test_the_address_that_was_judged_is_connected_to(self):
        asking = self.ask("http://good.example/x")
        self.assertEqual(self.connections(), [("192.0.2.1", 80)])
        self.assertNoResult(asking)

    def test_a_name_is_resolved_once_for_a_connection(self):
        self.ask("http://rebinding.example/")
        self.assertEqual(self.connections(), [("192.0.2.1", 80)])
        self.assertEqual(self.names.asked, ["rebinding.example"])
        again = self.ask("http://rebinding.example/")
        self.failureResultOf(again, FetchRefused)
        self.assertEqual(len(self.connections()), 1)

    def test_names_that_lead_to_where_nothing_may_be_fetched(self):
        for name in ("bad.example", "mixed.example"):
            error = self.failureResultOf(self.ask(f"http://{name}/"), FetchRefused).value
            self.assertNotIn(name, error.message)
        self.assertEqual(self.connections(), [])

    def test_names_that_lead_nowhere(self):
        self.failureResultOf(self.ask("http://unknown.example/"), RemoteUnavailable)
        self.assertEqual(self.connections(), [])

    def test_addresses_are_not_resolved(self):
        self.ask("http://192.0.2.7/")
        self.ask("http://[2001:db8::7]:443/")
        self.assertEqual(self.connections(), [("192.0.2.7", 80), ("2001:db8::7", 443)])
        self.assertEqual(self.names.asked, [])

    def test_all_addresses_of_a_host_are_tried(self):
        asking = self.ask("http://two.example/")
        self.assertEqual(self.connections(), [("192.0.2.1", 80)])
        self.reactor.advance(1)
        self.assertEqual(self.connections(), [("192.0.2.1", 80), ("2001:db8::1", 80)])
        for client in list(self.reactor.tcpClients):
            client[2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        self.reactor.advance(1)
        self.failureResultOf(asking, ConnectionRefusedError)

    def test_cancelled_while_a_name_is_resolved(self):
        self.names.held = []
        asking = self.ask("http://good.example/")
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.names.held[0].resolutionComplete()
        self.assertEqual(self.connections(), [])

    def test_names_are_resolved_a_few_at_a_time(self):
        self.names.held = held = []
        for n in range(2 * MOST):
            self.names.answers[f"{n}.example"] = [["192.0.2.1"]]
        asking = [self.ask(f"http://{n}.example/") for n in range(2 * MOST)]
        self.assertEqual(self.names.asked, [f"{n}.example" for n in range(MOST)])
        # Who gives up does not make room: the thread is busy all the same.
        asking[0].cancel()
        asking[MOST].cancel()
        for index in (0, MOST):
            self.failureResultOf(asking[index], CancelledError)
        self.assertEqual(len(held), MOST)
        held.pop(0).resolutionComplete()
        # Nothing is looked up for those who have given up meanwhile.
        self.assertEqual(self.names.asked[MOST:], [f"{MOST + 1}.example"])
        while held:
            held.pop(0).resolutionComplete()
        for index in {*range(2 * MOST)} - {0, MOST}:
            self.failureResultOf(asking[index], RemoteUnavailable)

    def test_certificates_must_be_for_the_name_and_not_for_the_address(self):
        self.failureResultOf(self.ask("https://Good.example/"), ZeroDivisionError)
        self.assertEqual(self.tls.asked, [(b"good.example", 443)])


class OddNameTests(OutboundCase):
    """Names that the rules let through, and that are none by those for international names."""

    hosts = ("under_score.example", "xn--a.example", "ab--cd.example")

    def setUp(self):
        super().setUp()
        for host in self.hosts:
            self.names.answers[host] = [["192.0.2.1"]]

    def test_over_http(self):
        for host in self.hosts:
            self.ask(f"http://{host}/")
            self.assertEqual(self.names.asked.pop(), host)
            _, transport = self.connect()
            self.assertIn(f"Host: {host}\r\n".encode(), transport.value())
        self.assertEqual(self.connections(), [("192.0.2.1", 80)] * len(self.hosts))

    def test_over_https(self):
        self.outbound.tls = make_policy([], insecure=False)
        for host in self.hosts:
            asking = self.ask(f"https://{host}/")
            error = self.failureResultOf(asking, RemoteUnavailable).value
            self.assertNotIn("example", error.message)
        self.assertEqual(self.connections(), [])

    def test_over_https_without_verification(self):
        self.outbound.tls = make_policy(None, insecure=True)
        for host in self.hosts:
            self.assertNoResult(self.ask(f"https://{host}/"))
        self.assertEqual(self.connections(), [("192.0.2.1", 443)] * len(self.hosts))


class TrustedHostTests(OutboundCase):
    rules = UriFilter(allowed_hosts=["bad.example", "127.0.0.1"])

    def test_trusted_hosts_may_lead_anywhere(self):
        self.ask("http://bad.example/")
        self.ask("http://127.0.0.1/")
        self.assertEqual(self.connections(), [("127.0.0.1", 80)] * 2)


class RequestTests(OutboundCase):
    def sent(self, url, method=b"GET", **headers):
        asking = self.ask(url, method, **headers)
        _, transport = self.connect()
        line, *rest = transport.value().decode().rstrip("\r\n").split("\r\n")
        return asking, line, sorted(rest)

    def test_what_is_sent_is_what_was_read_of_the_url(self):
        for path in ("/", "//x//", "/a;", "/a?", "/a/../b", "/%2F?a=b&c", "/;p?q;r"):
            _, line, headers = self.sent(f"http://user:secret@good.example{path}", X=b"y")
            self.assertEqual(line, f"GET {path} HTTP/1.1")
            self.assertEqual(headers, ["Connection: close", "Host: good.example", "X: y"])
        _, line, headers = self.sent("http://[2001:db8::7]:443?q#f", b"HEAD")
        self.assertEqual(line, "HEAD /?q HTTP/1.1")
        self.assertIn("Host: [2001:db8::7]:443", headers)

    def test_an_answer(self):
        asking = self.ask("http://good.example/")
        protocol, transport = self.connect()
        protocol.dataReceived(OK[:9])
        self.assertNoResult(asking)
        protocol.dataReceived(OK[9:] + b"da")
        exchange = self.successResultOf(asking)
        self.assertEqual(exchange.response.code, 200)
        self.assertEqual(transport.producerState, "paused")
        exchange.abort()
        exchange.abort()
        self.assertTrue(transport.aborting)

    def test_an_endless_head(self):
        asking = self.ask("http://good.example/")
        protocol, transport = self.connect()
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\n")
        sent = 0
        while not transport.aborting and sent < 2 * outbound.LONGEST_HEAD:
            protocol.dataReceived(b"X: y\r\n" * 1000)
            sent += 6000
        self.assertTrue(transport.aborting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asking, ResponseFailed)

    def test_a_body_may_be_longer_than_a_head(self):
        asking = self.ask("http://good.example/")
        protocol, transport = self.connect()
        protocol.dataReceived(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n")
        self.successResultOf(asking)
        for _ in range(9):
            protocol.dataReceived(bytes(65536))
        self.assertFalse(transport.aborting)

    def test_closing_cuts_what_is_under_way(self):
        asking = self.ask("http://good.example/")
        protocol, transport = self.connect()
        self.outbound.close()
        self.assertTrue(transport.aborting)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asking, ResponseFailed)
        self.assertEqual(self.outbound.live, set())

    def test_cancelling_cuts_the_connection(self):
        asking = self.ask("http://good.example/")
        _, transport = self.connect()
        asking.cancel()
        self.failureResultOf(asking, ResponseFailed)
        self.assertTrue(transport.aborting)

    def test_the_log_is_not_told_where_connections_go(self):
        self.ask("http://good.example/")
        logged = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        for client in self.reactor.tcpClients:
            client[2].doStart()
            client[2].doStop()
        self.assertEqual(logged, [])


class ProxyTests(OutboundCase):
    proxies = parse_proxies(
        "web", {"http": "http://us%3Aer:secret@10.9.9.9:3128/", "https": "proxy.example:8080"}
    )

    def setUp(self):
        super().setUp()
        self.names.answers["proxy.example"] = [["10.9.9.8"]]

    def test_through_a_proxy(self):
        self.names.answers["10.9.9.9"] = [["10.9.9.9"]]
        asking = self.ask("http://good.example/a?b")
        self.assertEqual(self.connections(), [("10.9.9.9", 3128)])
        self.assertNotIn("good.example", self.names.asked)
        protocol, transport = self.connect()
        lines = transport.value().split(b"\r\n")
        self.assertEqual(lines[0], b"GET http://good.example/a?b HTTP/1.1")
        self.assertIn(b"Host: good.example", lines)
        self.assertIn(b"Proxy-Authorization: " + basic("us:er", "secret"), lines)
        protocol.dataReceived(OK)
        self.assertEqual(self.successResultOf(asking).response.code, 200)

    def tunnelled(self):
        self.outbound.tls = make_policy(None, insecure=True)
        asking = self.ask("https://good.example/")
        self.assertEqual(self.connections(), [("10.9.9.8", 8080)])
        self.assertNotIn("good.example", self.names.asked)
        return (asking, *self.connect())

    def test_through_a_tunnel(self):
        asking, protocol, transport = self.tunnelled()
        self.assertEqual(
            transport.value(),
            b"CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n",
        )
        transport.clear()
        protocol.dataReceived(b"HTTP/1.1 200 Connection est")
        self.assertEqual(transport.value(), b"")
        protocol.dataReceived(b"ablished\r\nVia: x\r\n\r\n")
        # A handshake record (RFC 8446, section 5.1), with the name in it for whom it is.
        self.assertEqual(transport.value()[:2], b"\x16\x03")
        self.assertIn(b"good.example", transport.value())
        self.assertNoResult(asking)
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asking, ResponseFailed)

    def test_a_proxy_that_refuses(self):
        for answer in (
            b"HTTP/1.1 403 Forbidden\r\n\r\n",
            b"HTTP/1.1 2000\r\n\r\n",
            b"SSH-2.0-x\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20000,
        ):
            asking, protocol, transport = self.tunnelled()
            protocol.dataReceived(answer)
            self.failureResultOf(asking, RemoteUnavailable)
            self.assertTrue(transport.aborting)
            protocol.dataReceived(b"more")
            protocol.connectionLost(Failure(ConnectionDone()))
            self.reactor.tcpClients.clear()

    def test_a_proxy_that_goes_away(self):
        asking, protocol, _ = self.tunnelled()
        protocol.connectionLost(Failure(ConnectionDone()))
        self.failureResultOf(asking, ConnectionDone)

    def test_cancelled_while_a_proxy_connects(self):
        asking, _, transport = self.tunnelled()
        asking.cancel()
        self.failureResultOf(asking, CancelledError)
        self.assertTrue(transport.aborting)


class ProxyOptionTests(SynchronousTestCase):
    def test_forms(self):
        for value in ("h:1", "http://h:1", "http://h:1/", " h:1 "):
            self.assertEqual(parse_proxies("web", {"http": value}), {"http": Proxy("h", 1)})
        found = parse_proxies("web", {"https": "[2001:db8::1]:3128"})
        self.assertEqual(found, {"https": Proxy("2001:db8::1", 3128)})

    def test_refusals(self):
        for scheme, value in (
            ("http", "h"), ("http", ""), ("http", "https://h:1"), ("ftp", "h:1"), ("http", "h:0"),
            ("http", "h:65536"), ("http", "user@h:1"), ("http", "h:1/path"), ("http", "h h:1"),
        ):  # fmt: skip
            with self.assertRaises(BadStoreConfiguration) as caught:
                parse_proxies("web", {scheme: value})
            self.assertIn("[web] http_proxy_information", caught.exception.message)

    def test_credentials_are_not_shown(self):
        found = parse_proxies("web", {"http": "us:secret@h:1"})["http"]
        self.assertNotIn("c2VjcmV0", repr(found).replace("dXM6", ""))
        self.assertNotIn("authorization", repr(found))
