"""Which addresses are listened on, and what is said when that cannot be."""

import socket
from types import SimpleNamespace

import pytest

from glance.domain.errors import ConfigError
from glance.services.listening import Listeners, Wanted, bind, choose_host, refuse_more, url_of


class Options(SimpleNamespace):
    """Options by name, as a configuration has them."""

    def __getitem__(self, name):
        return getattr(self, name)


def options(**given):
    values = {"bind_host": None, "internal_bind_host": None, "allow_remote_without_auth": False}
    return Options(**{**values, **given})


class TestHost:
    @pytest.mark.parametrize("option", ["bind_host", "internal_bind_host"])
    def test_none_given(self, option):
        assert choose_host(options(), True, option) == "0.0.0.0"
        assert choose_host(options(), False, option) == "127.0.0.1"

    @pytest.mark.parametrize("option", ["bind_host", "internal_bind_host"])
    def test_without_authentication(self, option):
        for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost"):
            assert choose_host(options(**{option: host}), False, option) == host
        for host in ("0.0.0.0", "192.0.2.1", "::", "images.example"):
            with pytest.raises(ConfigError, match=rf"^\[DEFAULT\] {option} = "):
                choose_host(options(**{option: host}), False, option)
            given = options(**{option: host}, allow_remote_without_auth=True)
            assert choose_host(given, False, option) == host
            assert choose_host(options(**{option: host}), True, option) == host

    def test_socket_of_the_service_manager(self):
        told = options(bind_host="127.0.0.1")
        assert choose_host(told, True, "bind_host", "0.0.0.0") == "0.0.0.0"
        assert choose_host(told, False, "bind_host", "::1") == "::1"
        with pytest.raises(ConfigError, match=r"^The socket that the service manager opened on "):
            choose_host(told, False, "bind_host", "0.0.0.0")


class TestBind:
    def test_url(self):
        with bind(Wanted("127.0.0.1", 0, 1, 600)) as listener:
            port = listener.getsockname()[1]
            assert url_of(listener) == f"http://127.0.0.1:{port}"
            assert url_of(listener, "https") == f"https://127.0.0.1:{port}"

    @pytest.mark.parametrize("prefix", ["", "internal_"])
    def test_port_in_use(self, prefix):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(ConfigError) as caught:
                bind(Wanted("127.0.0.1", port, 1, 600, prefix))
        assert f"{prefix}bind_host, {prefix}bind_port" in str(caught.value)


def wanted(port=0, host="127.0.0.1", backlog=5, keep_idle=600):
    return Wanted(host, port, backlog, keep_idle)


def connects(port):
    with socket.socket() as client:
        client.settimeout(0.2)
        try:
            client.connect(("127.0.0.1", port))
        except (ConnectionRefusedError, TimeoutError):
            return False
    return True


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def port_of(listeners, name="main"):
    return listeners.current[name].socket.getsockname()[1]


@pytest.fixture
def listeners():
    made = Listeners()
    made.take_over(made.open({"main": wanted()}))
    yield made
    made.close()


class TestListeners:
    def test_the_same_is_kept(self, listeners):
        before = listeners.current["main"].socket
        assert not listeners.take_over(listeners.open({"main": wanted()}))
        assert listeners.current["main"].socket is before

    def test_backlog_and_keep_alive_change_in_place(self, listeners):
        before = listeners.current["main"].socket
        assert not listeners.take_over(listeners.open({"main": wanted(backlog=9, keep_idle=7)}))
        assert listeners.current["main"].socket is before
        assert before.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7

    def test_another_port(self, listeners):
        old = port_of(listeners)
        new = free_port()
        opened = listeners.open({"main": wanted(new)})
        assert connects(old)
        assert connects(new)
        assert listeners.take_over(opened)
        assert port_of(listeners) == new
        assert not connects(old)
        assert connects(new)

    def test_another_address_with_the_same_port(self, listeners):
        old = port_of(listeners)
        fixed = listeners.open({"main": wanted(old)})
        assert listeners.take_over(fixed)
        everywhere = listeners.open({"main": wanted(old, "0.0.0.0")})
        assert listeners.take_over(everywhere)
        assert connects(old)
        with pytest.raises(ConfigError, match="Cannot listen"):
            bind(wanted(old))

    def test_an_internal_port_comes_and_goes(self, listeners):
        both = {"main": wanted(), "internal": wanted()}
        assert not listeners.take_over(listeners.open(both))
        internal = port_of(listeners, "internal")
        assert connects(internal)
        assert listeners.take_over(listeners.open({"main": wanted()}))
        assert not connects(internal)

    def test_one_that_cannot_be_opened(self, listeners):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port, free = taken.getsockname()[1], free_port()
            with pytest.raises(ConfigError, match=f"port {port}"):
                listeners.open({"main": wanted(free), "internal": wanted(port)})
        assert connects(port_of(listeners))
        assert not connects(free)

    def test_given_up(self, listeners):
        opened = listeners.open({"main": wanted(), "internal": wanted()})
        internal = opened["internal"].socket.getsockname()[1]
        listeners.give_up(opened)
        assert connects(port_of(listeners))
        assert not connects(internal)


class TestHandedOver:
    def test_used_whatever_the_options_say_and_left_open(self):
        with socket.create_server(("127.0.0.1", 0)) as theirs:
            listeners = Listeners({"main": theirs.dup()})
            listeners.take_over(listeners.open({"main": wanted()}))
            assert port_of(listeners) == theirs.getsockname()[1]
            assert not listeners.take_over(listeners.open({"main": wanted(1)}))
            listeners.close()
            assert connects(theirs.getsockname()[1])


def test_nobody_joins_the_queue_any_more():
    with bind(wanted()) as listener, socket.socket() as client:
        port = listener.getsockname()[1]
        client.connect(("127.0.0.1", port))
        client.send(b"hello")
        refuse_more(listener)
        assert not connects(port)
        accepted, _ = listener.accept()
        with accepted:
            accepted.setblocking(True)
            assert accepted.recv(9) == b"hello"
            client.send(b"more")
            assert accepted.recv(9) == b"more"
        with pytest.raises(BlockingIOError):
            listener.accept()
