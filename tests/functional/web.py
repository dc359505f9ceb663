"""A web server on a loopback port, with all the manners and bad habits that there are."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import select
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.functional.wire import data_of

MIB = 1024 * 1024
DATA = data_of(3 * MIB + 17)
#: Of the page that only those see who give their names.
CREDENTIALS = ("canary-user", "canary:pass/word")
PIECE = 64 * 1024


class Pages(BaseHTTPRequestHandler):
    """What stands at each path."""

    protocol_version = "HTTP/1.1"
    server: WebServer

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("http://"):
            # Asked as a proxy: every name is ours.
            self.server.proxied.append(self.path)
            path = "/" + path.split("/", 3)[3]
        self.server.asked.append((self.command, path, dict(self.headers)))
        with contextlib.suppress(ConnectionError):
            getattr(self, "page_" + path.strip("/").replace("-", "_"), self.page_missing)()
            return
        self.close_connection = True

    do_HEAD = do_GET

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def head(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, data: bytes) -> None:
        """Send as much as the other side takes, and tell when it takes no more."""
        if self.command == "HEAD":
            return
        view = memoryview(data)
        while view:
            if not select.select([], [self.connection], [], 1)[1]:
                self.server.blocked.set()
                select.select([], [self.connection], [])
            self.connection.setblocking(False)
            try:
                count = self.connection.send(view[:PIECE])
            except (BlockingIOError, ssl.SSLWantWriteError):
                continue
            finally:
                self.connection.setblocking(True)
            self.server.sent += count
            view = view[count:]

    def page_plain(self, data: bytes = DATA) -> None:
        self.head(200, Content_Length=len(data), ETag='"1"')
        self.send(data)

    def page_ranged(self, data: bytes = DATA) -> None:
        asked = self.headers["Range"]
        if not asked:
            self.page_plain(data)
            return
        first = int(asked.removeprefix("bytes=").removesuffix("-"))
        content_range = f"bytes {first}-{len(data) - 1}/{len(data)}"
        self.head(206, Content_Length=len(data) - first, Content_Range=content_range, ETag='"1"')
        self.send(data[first:])

    def page_big(self) -> None:
        self.page_ranged(self.server.big)

    def page_chunked(self) -> None:
        self.head(200, Transfer_Encoding="chunked")
        for start in range(0, len(DATA), 100_000):
            piece = DATA[start : start + 100_000]
            self.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.send(b"0\r\n\r\n")

    def page_until_closed(self) -> None:
        self.head(200, Connection="close")
        self.send(DATA)

    def page_short(self) -> None:
        self.head(200, Content_Length=len(DATA), Connection="close")
        self.send(DATA[: 2 * MIB])

    def page_held(self) -> None:
        """Send half, and the rest when a test says so."""
        self.head(200, Content_Length=len(DATA))
        self.send(DATA[:MIB])
        self.server.go_on.wait(60)
        self.send(DATA[MIB:])

    def page_changing(self) -> None:
        """Have other data at each time."""
        self.head(200, Content_Length=len(DATA), ETag=f'"{len(self.server.asked)}"')
        self.send(DATA)

    def page_missing(self) -> None:
        self.head(404, Content_Length=0)

    def page_broken(self) -> None:
        self.head(500, Content_Length=0)

    def page_private(self) -> None:
        wanted = "Basic " + base64.b64encode(":".join(CREDENTIALS).encode()).decode()
        if self.headers["Authorization"] == wanted:
            self.page_plain()
        else:
            self.head(401, Content_Length=0, WWW_Authenticate="Basic")

    def page_moved(self) -> None:
        self.head(302, Content_Length=0, Location="/ranged")

    def page_moved_away(self) -> None:
        self.head(302, Content_Length=0, Location=self.server.away)

    def do_CONNECT(self) -> None:
        """Pass bytes on, as a proxy does."""
        self.server.proxied.append(self.path)
        host, _, port = self.path.rpartition(":")
        with socket.create_connection((host, int(port))) as other:
            self.head(200)
            ends = {self.connection: other, other: self.connection}
            while True:
                for end in select.select(list(ends), [], [])[0]:
                    data = end.recv(PIECE)
                    if not data:
                        self.close_connection = True
                        return
                    ends[end].sendall(data)


class WebServer(ThreadingHTTPServer):
    """The server.

    :ivar asked: method, path and headers of each request.
    :ivar sent: bytes of bodies that the other sides have taken.
    :ivar blocked: set when one has taken nothing for a second.
    :ivar away: where ``/moved-away`` leads.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, certificate: Path | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Pages)
        self.scheme = "http"
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
            self.scheme = "https"
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        self.proxied: list[str] = []
        self.sent = 0
        self.blocked = threading.Event()
        self.go_on = threading.Event()
        self.away = ""
        self.big = b""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> WebServer:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.go_on.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients may go away, and TLS may fail, as tests want them to."""

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def url(self, path: str, host: str = "127.0.0.1", user: str = "") -> str:
        return f"{self.scheme}://{user}{host}:{self.port}{path}"


def make_certificates(place: Path) -> tuple[Path, Path]:
    """Make an authority and a certificate of its for 127.0.0.1.

    :returns: the file of the authority, and the file of certificate and key.
    """
    now = datetime.datetime.now(datetime.UTC)

    def certificate(name: str, issuer: str, key: Any, signer: Any, *extensions: Any) -> Any:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

        builder = (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        made = builder.sign(signer, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)

    ca_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    constraints = x509.BasicConstraints(ca=True, path_length=None)
    authority = place / "ca.pem"
    authority.write_bytes(
        certificate("test authority", "test authority", ca_key, ca_key, constraints)
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    served = place / "served.pem"
    served.write_bytes(pem + certificate("127.0.0.1", "test authority", key, ca_key, names))
    return authority, served
