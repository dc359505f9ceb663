"""Certificates that cannot be used are found before the service starts."""

import socket
import threading
from types import SimpleNamespace

import pytest
from OpenSSL import SSL

from glance.domain.errors import ConfigError
from glance.services.tls import thd_make_tls
from tests.certificates import Certificate

AUTHORITY = Certificate("authority", authority=True)
SERVER = Certificate("localhost", AUTHORITY)


@pytest.fixture
def files(tmp_path):
    """Options that name good files."""
    certificate, key = SERVER.write(tmp_path, "server", [AUTHORITY])
    return SimpleNamespace(cert_file=certificate, key_file=key, ca_file=None)


def make(files):
    warnings = []
    return thd_make_tls(files, warnings.append), warnings


def fault(files):
    with pytest.raises(ConfigError) as caught:
        make(files)
    return str(caught.value)


def write(path, data):
    path.write_bytes(data)
    return str(path)


def handshake(options, minimum=None, maximum=None):
    """Let a client agree with a server of these options; return what it got to know."""
    ours, theirs = socket.socketpair()
    client = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if minimum is not None:
        client.set_min_proto_version(minimum)
    if maximum is not None:
        client.set_max_proto_version(maximum)
    ends = [SSL.Connection(options.getContext(), ours), SSL.Connection(client, theirs)]
    ends[0].set_accept_state()
    ends[1].set_connect_state()
    failed = []

    def shake(end):
        try:
            end.do_handshake()
        except SSL.Error as error:
            failed.append(error)

    other = threading.Thread(target=shake, args=(ends[0],))
    other.start()
    shake(ends[1])
    theirs.shutdown(socket.SHUT_WR)
    other.join()
    ours.close()
    theirs.close()
    if failed:
        raise failed[0]
    return ends[1]


def test_good_files(files):
    options, warnings = make(files)
    assert warnings == []
    client = handshake(options)
    assert len(client.get_peer_cert_chain()) == 2
    assert client.get_protocol_version_name() == "TLSv1.3"


def test_version_1_2_is_spoken_and_older_ones_are_not(files):
    options, _ = make(files)
    client = handshake(options, maximum=SSL.TLS1_2_VERSION)
    assert client.get_protocol_version_name() == "TLSv1.2"
    assert client.get_cipher_name().startswith("ECDHE-")
    with pytest.raises(SSL.Error):
        handshake(options, minimum=SSL.TLS1_VERSION, maximum=SSL.TLS1_1_VERSION)


@pytest.mark.parametrize("option", ["cert_file", "key_file", "ca_file"])
def test_missing_file(files, option):
    setattr(files, option, "/nonexistent/file")
    told = fault(files)
    assert told.startswith(f"[DEFAULT]{option}: /nonexistent/file cannot be read: no such file")


@pytest.mark.parametrize("option", ["cert_file", "key_file", "ca_file"])
@pytest.mark.parametrize("data", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_file_of_something_else(files, option, data, tmp_path):
    path = write(tmp_path / "odd", data)
    setattr(files, option, path)
    assert fault(files).startswith(f"[DEFAULT]{option}: {path} does not hold ")


def test_key_and_certificate_mixed_up(files):
    files.cert_file, files.key_file = files.key_file, files.cert_file
    assert "[DEFAULT]cert_file" in fault(files)


def test_key_of_another_certificate(files, tmp_path):
    files.key_file = write(tmp_path / "other", Certificate("other").key_pem())
    told = fault(files)
    assert told.startswith(f"[DEFAULT]key_file: {files.key_file} is not the key of")
    assert files.cert_file in told


def test_key_with_a_password(files, tmp_path):
    files.key_file = write(tmp_path / "locked", SERVER.key_pem(b"secret"))
    told = fault(files)
    assert told.startswith(f"[DEFAULT]key_file: {files.key_file} is encrypted")


def test_no_fault_quotes_a_key(files, tmp_path):
    damaged = SERVER.key_pem().replace(b"A", b"B", 3)
    files.key_file = write(tmp_path / "damaged", damaged)
    told = fault(files)
    assert not any(line.decode() in told for line in damaged.splitlines() if len(line) > 8)


def test_dates_are_for_the_operator_to_know(files, tmp_path):
    for days, told in (((-9, -1), "has expired"), ((1, 9), "not valid yet")):
        files.cert_file, files.key_file = Certificate("x", days=days).write(tmp_path, "dated")
        _, warnings = make(files)
        assert len(warnings) == 1
        assert told in warnings[0]
        assert files.cert_file in warnings[0]


def test_clients_must_show_a_certificate(files, tmp_path):
    files.ca_file = write(tmp_path / "ca", AUTHORITY.pem)
    options, _ = make(files)
    with pytest.raises(SSL.Error):
        handshake(options, maximum=SSL.TLS1_2_VERSION)
