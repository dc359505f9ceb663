import pytest

from glance.control.servers import SERVERS, Server, names, resolve


def test_what_can_be_typed() -> None:
    """All that scripts of the OpenStack Glance project's service type, and ours."""
    assert set(names(SERVERS)) == {
        "all",
        "api",
        "glance-api",
        "registry",
        "glance-registry",
        "scrubber",
        "glance-scrubber",
        "cache",
        "glance-cache",
        "replicator",
        "glance-replicator",
    }


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: server.name)
def test_short_and_long_names(server: Server) -> None:
    assert resolve(server.short, SERVERS) == resolve(server.name, SERVERS) == [server]


def test_all() -> None:
    assert resolve("all", SERVERS) == list(SERVERS)


@pytest.mark.parametrize(
    ("maker", "there"),
    [("glance.services.tap", True), ("glance.services.absent_tap", False), ("absent.tap", False)],
)
def test_what_is_there(maker: str, there: bool) -> None:
    assert Server("glance-x", maker).available() is there
