"""What a template refuses to make workers by."""

import pytest

from glance.config import load
from glance.domain.errors import ConfigError
from glance.services.messages import CONFIGURED, EMBEDDED
from glance.services.template import check_access

KEYSTONE = "[paste_deploy]\nflavor = keystone\n"


@pytest.fixture
def loaded(tmp_path):
    def load_text(text):
        file = tmp_path / "glance-api.conf"
        file.write_text(f"[database]\nconnection = sqlite://\n{text}")
        return load("glance-api", ["--config-file", str(file)])

    return load_text


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::"])
def test_nobody_is_authenticated_any_more(loaded, address):
    with pytest.raises(ConfigError, match=f"Nobody is authenticated any more.*{address}"):
        check_access(loaded(""), CONFIGURED, ["127.0.0.1", address])


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("", "127.0.0.1"),
        ("", "::1"),
        (KEYSTONE, "0.0.0.0"),
        ("[DEFAULT]\nallow_remote_without_auth = true\n", "0.0.0.0"),
    ],
)
def test_allowed(loaded, text, address):
    for kind in (CONFIGURED, EMBEDDED):
        check_access(loaded(text), kind, [address])


def test_files_that_are_gone(tmp_path):
    alone = load("glance-api", [], directories=[tmp_path])
    check_access(alone, EMBEDDED, ["127.0.0.1"])
    with pytest.raises(ConfigError, match="No configuration file is found any more"):
        check_access(alone, CONFIGURED, ["127.0.0.1"])
