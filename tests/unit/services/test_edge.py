"""The service's edge, as options make it."""

import ipaddress
import os

import pytest

from glance.api.limits import Limits
from glance.api.settings import Exposure
from glance.config import load
from glance.domain.errors import ConfigError
from glance.services.edge import thd_make_edge


@pytest.fixture
def edge(tmp_path, monkeypatch):
    """Make the edge of options given by group; note the warnings."""
    for name in list(os.environ):
        if name.startswith("OS_"):
            monkeypatch.delenv(name)

    def make(**groups):
        lines = ["[database]", "connection = sqlite://"]
        for group, options in groups.items():
            lines += [f"[{group}]", *(f"{name} = {value}" for name, value in options.items())]
        path = tmp_path / "x.conf"
        path.write_text("\n".join(lines))
        make.warnings = []
        conf = load("glance-api", ["--config-file", str(path)]).conf
        return thd_make_edge(conf, make.warnings.append)

    return make


def test_defaults(edge):
    made = edge()
    assert made.limits == Limits()
    assert (made.public, made.internal) == (Exposure(), None)
    assert (made.cors, made.tls, made.trust_proxies) == (None, None, False)
    assert [check.backend for check in made.health.checks] == ["disable_by_file"]
    assert made.minors[0] == 17
    assert edge.warnings == []
    site = object()
    assert made.wrapped(site, None) is site


def test_versions_tell_of_a_cache(edge):
    assert edge(DEFAULT={"image_cache_dir": "/nowhere"}).minors[:2] == (18, 17)


class TestExposure:
    def test_one_port(self, edge):
        made = edge(DEFAULT={"show_multiple_locations": "true"})
        assert made.public == Exposure(direct_url=False, locations=True)
        made = edge(DEFAULT={"show_image_direct_url": "true"})
        assert made.public == Exposure(direct_url=True, locations=False)

    def test_internal_port_makes_the_other_one_hide(self, edge):
        shown = {"show_multiple_locations": "true", "show_image_direct_url": "true"}
        made = edge(DEFAULT={"internal_bind_port": 0, **shown})
        assert (made.public, made.internal) == (Exposure(), Exposure(True, True))
        assert "have no effect" in edge.warnings[0]

    def test_internal_port_that_shows_less(self, edge):
        made = edge(DEFAULT={"internal_bind_port": 1, "internal_show_multiple_locations": "false"})
        assert made.internal == Exposure(direct_url=True, locations=False)
        assert edge.warnings == []


class TestLimits:
    def test_no_time_is_longer_than_that_without_progress(self, edge):
        limits = edge(DEFAULT={"client_socket_timeout": 10}).limits
        assert (limits.head_time, limits.body_time, limits.idle_time) == (10, 10, 10)
        limits = edge(DEFAULT={"client_socket_timeout": 50}).limits
        assert (limits.head_time, limits.body_time, limits.idle_time) == (30, 50, 50)

    def test_no_limits(self, edge):
        names = "http_head_timeout", "json_body_timeout", "http_idle_timeout"
        options = dict.fromkeys(names, 0)
        limits = edge(DEFAULT={**options, "client_socket_timeout": 10}).limits
        assert (limits.head_time, limits.body_time, limits.idle_time) == (10, 10, 10)
        limits = edge(DEFAULT={**options, "client_socket_timeout": 0}).limits
        assert limits.head_time is limits.body_time is limits.idle_time is None
        assert limits.stall_time is None

    def test_no_limit_of_a_line_of_its_own(self, edge):
        limits = edge(DEFAULT={"max_header_line": 0, "max_header_size": 5000}).limits
        assert (limits.line, limits.head) == (5000, 5000)


class TestHealth:
    def test_networks(self, edge):
        made = edge(healthcheck={"allowed_source_ranges": "10.0.0.1/8, 2001:db8::/32"})
        assert made.health.networks == [
            ipaddress.ip_network("10.0.0.0/8"),
            ipaddress.ip_network("2001:db8::/32"),
        ]
        with pytest.raises(ConfigError, match="allowed_source_ranges"):
            edge(healthcheck={"allowed_source_ranges": "everyone"})

    def test_files_that_nothing_looks_for(self, edge):
        edge(healthcheck={"enable_by_file_paths": "/x"})
        assert "enable_by_file_paths has no effect" in edge.warnings[0]
        edge(healthcheck={"enable_by_file_paths": "/x", "backends": "enable_by_files"})
        assert edge.warnings == []

    def test_backend_that_is_not_known(self, edge):
        with pytest.raises(ConfigError, match="backends"):
            edge(healthcheck={"backends": "x"})


def test_cors(edge):
    made = edge(cors={"allowed_origin": "https://a.example,https://b.example", "max_age": 5})
    assert made.cors.origins == {"https://a.example", "https://b.example"}
    assert made.cors.max_age == 5
    assert "PATCH" in made.cors.methods
    assert "x-auth-token" in made.cors.headers
    with pytest.raises(ConfigError, match="allowed_origin"):
        edge(cors={"allowed_origin": "a.example"})


def test_several_stores_are_another_version(edge):
    made = edge(
        DEFAULT={"enabled_backends": "a:file"},
        glance_store={"default_backend": "a"},
        a={"filesystem_store_datadir": "/x"},
    )
    assert 13 in made.minors
