"""TLS as we speak it: handshakes in memory, with certificates of an authority of our own."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure

from glance.domain.errors import ConfigError
from glance.identity.http import describe
from glance.identity.tls import ClientTLS, Files
from tests.certificates import Authority

HOST = "127.0.0.1"


def files(
    authorities: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> Files:
    texts = [None if path is None else str(path) for path in (authorities, certificate, key)]
    return Files("section", ("cafile", texts[0]), ("certfile", texts[1]), ("keyfile", texts[2]))


class Client(Protocol):
    """What runs over TLS; remembers why it ended."""

    lost: str | None = None

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")

    def connectionLost(self, reason: Any = None) -> None:
        self.lost = describe(reason.value)


class Talk:
    """One attempt of a client to talk with a server.

    :param tls: the client's side.
    :param context: the server's side.
    :param host: whom the client wants to talk with.
    """

    def __init__(self, tls: ClientTLS, context: ssl.SSLContext, host: str = HOST) -> None:
        self.asked_for: str | None = None
        context.sni_callback = self._named
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(to_server, to_client, server_side=True)
        clock, client, transport = MemoryReactorClock(), Client(), StringTransport()
        creator = tls.creatorForNetloc(host.encode(), 5000)
        wrapped = Factory.forProtocol(lambda: client)
        protocol = TLSMemoryBIOFactory(creator, True, wrapped, clock).buildProtocol(None)
        protocol.makeConnection(transport)
        self.heard = b""
        for _ in range(10):
            clock.advance(0)
            to_server.write(transport.value())
            transport.clear()
            try:
                self.heard += server.read()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                break
            if to_client.pending and not transport.disconnecting:
                protocol.dataReceived(to_client.read())
        if transport.disconnecting:
            protocol.connectionLost(Failure(ConnectionDone()))
        self.lost = client.lost
        self.certificate = server.getpeercert() if self.heard else None
        self.cipher = server.cipher()

    def _named(self, connection: Any, name: str | None, context: Any) -> None:
        self.asked_for = name


def test_authority_that_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    talk = Talk(ClientTLS(files(authority.path)), authority.server(HOST))
    assert (talk.heard, talk.lost) == (b"hello", None)


def test_any_authority_of_the_file(tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    authorities = [Authority(tmp_path, name) for name in ("one", "two")]
    texts = [authority.path.read_text() for authority in authorities]
    bundle.write_text("# a comment\n" + "\n".join(texts))
    for authority in authorities:
        assert Talk(ClientTLS(files(bundle)), authority.server(HOST)).heard == b"hello"


def test_authority_that_is_not(tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    for tls in (ClientTLS(files(other.path)), ClientTLS(files())):
        talk = Talk(tls, Authority(tmp_path).server(HOST))
        assert talk.heard == b""
        assert talk.lost is not None and "certificate verify failed" in talk.lost


def test_certificate_of_another_host(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for host in ("127.0.0.2", "identity.example"):
        talk = Talk(ClientTLS(files(authority.path)), authority.server(HOST), host)
        assert talk.heard == b""
        assert talk.lost == "TLS failed (the certificate is not for this host)"


def test_unchecked(tmp_path: Path) -> None:
    tls = ClientTLS(files(), insecure=True)
    assert Talk(tls, Authority(tmp_path).server("127.0.0.2")).heard == b"hello"


@pytest.mark.parametrize("insecure", [False, True])
def test_server_is_told_whom_we_want(tmp_path: Path, insecure: bool) -> None:
    authority = Authority(tmp_path)
    tls = ClientTLS(files(authority.path), insecure=insecure)
    assert Talk(tls, authority.server(HOST), "identity.example").asked_for == "identity.example"
    assert Talk(tls, authority.server(HOST)).asked_for is None


@pytest.mark.parametrize("insecure", [False, True])
def test_certificate_of_our_own(tmp_path: Path, insecure: bool) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue(HOST, "us")
    both = tmp_path / "both.pem"
    both.write_bytes(certificate.read_bytes() + key.read_bytes())
    for given in (files(authority.path, certificate, key), files(authority.path, both)):
        talk = Talk(ClientTLS(given, insecure=insecure), authority.server(ask_clients=True))
        assert talk.certificate is not None
        assert talk.certificate["subject"] == ((("commonName", "us"),),)


@pytest.mark.parametrize("insecure", [False, True])
def test_ciphers(tmp_path: Path, insecure: bool) -> None:
    authority = Authority(tmp_path)
    cipher = "ECDHE-ECDSA-AES128-GCM-SHA256"
    context = authority.server(HOST)
    # Later versions have other ciphers, which this does not concern.
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    tls = ClientTLS(files(authority.path), ciphers=cipher, insecure=insecure)
    found = Talk(tls, context).cipher
    assert found is not None and found[0] == cipher


def test_what_cannot_be_used(tmp_path: Path) -> None:
    certificate, _ = Authority(tmp_path).issue(HOST)
    other = tmp_path / "other.pem"
    other.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for given, option in [
        (files(other), "cafile"),
        (files(empty), "cafile"),
        (files(tmp_path), "cafile"),
        (files(None, other), "certfile"),
        # Without a key.
        (files(None, certificate), "certfile"),
        (files(None, certificate, empty), "keyfile"),
        (files(None, certificate, tmp_path / "absent"), "keyfile"),
    ]:
        with pytest.raises(ConfigError, match=rf"\[section\] {option} = "):
            ClientTLS(given)


def test_files_of_the_command_line_stand_in_no_section(tmp_path):
    with pytest.raises(ConfigError) as caught:
        ClientTLS(Files("", ("--os-cacert", str(tmp_path / "x"))))
    assert caught.value.message.startswith(f"--os-cacert = {tmp_path}/x cannot be read: ")
