"""Which addresses are listened on, and what is said when that cannot be."""

import socket
from types import SimpleNamespace

import pytest

from glance.domain.errors import ConfigError
from glance.services.listening import Wanted, bind, choose_host, url_of


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
