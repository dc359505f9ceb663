"""A server in memory: what it is fed byte by byte, and whose clock a test turns."""

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from glance.api.limits import Limits
from glance.api.streaming import StreamingSite
from tests.unit.api.doubles import CountingPool

TIMEOUT = 60.0
LIMIT = 100
UPLOAD = b"/data"


@implementer(ITCPTransport)
class TCPTransport(StringTransport):
    """What a plain socket offers beyond the interface: a size for its reads."""

    bufferSize = 65536

    def setTcpNoDelay(self, enabled):
        pass


class Recorder(Resource):
    """Keeps every request; answers none by itself but those that a test asks it to."""

    isLeaf = True

    def __init__(self):
        super().__init__()
        self.requests = []
        self.refuse = None

    def render(self, request):
        self.requests.append(request)
        if self.refuse is not None:
            return answer(request, self.refuse)
        return NOT_DONE_YET


def answer(request, code=200, text=b"ok"):
    request.setResponseCode(code)
    request.setHeader(b"content-length", b"%d" % len(text))
    request.write(text)
    request.finish()
    return NOT_DONE_YET


def head(method=b"PUT", path=UPLOAD, *headers, version=b"HTTP/1.1"):
    lines = [b"%s %s %s" % (method, path, version), b"Host: x", *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


class ChannelCase(SynchronousTestCase):
    limits = Limits(line=1000, body=LIMIT, idle_time=TIMEOUT, stall_time=TIMEOUT)

    def setUp(self):
        self.reactor = MemoryReactorClock()
        self.resource = Recorder()
        self.logged = []
        self.site = StreamingSite(
            self.resource,
            self.reactor,
            streams=lambda method, uri: method == b"PUT" and uri == UPLOAD,
            refuse=lambda request, status, text: answer(request, status, text.encode()),
            limits=self.limits,
            log=self.logged.append,
        )
        self.site.buffers = self.pool = CountingPool()
        self.connect()

    def connect(self, transport=None):
        self.transport = transport or StringTransport()
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.transport)

    def send(self, *data):
        for piece in data:
            self.channel.dataReceived(piece)

    def sent(self):
        value = self.transport.value()
        self.transport.clear()
        return value

    def lose(self):
        self.channel.connectionLost(Failure(ConnectionLost()))

    @property
    def request(self):
        return self.resource.requests[-1]

    def drain(self, body):
        """Read what has come of a body; return it, and whether its end was reached."""
        data = bytearray()
        while True:
            reading = body.next()
            if not reading.called:
                reading.addErrback(lambda f: None)
                return bytes(data), False
            buffer = self.successResultOf(reading)
            if buffer is None:
                return bytes(data), True
            data += buffer.data
            body.release(buffer)
