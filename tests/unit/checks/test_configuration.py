import pytest

from glance.checks import former_options
from glance.checks.configuration import (
    judge,
    known_options,
    thd_options,
    thd_owner_is_tenant,
    thd_sheepdog,
)
from glance.checks.results import Level
from glance.config.files import Place
from tests.unit.checks.conftest import bad, levels

STORES = """\
[DEFAULT]
enabled_backends = fast:file, web:http, mine:acme
[glance_store]
default_backend = fast
"""


def test_a_good_file(make):
    findings = list(thd_options(make("[DEFAULT]\nworkers = 2\n")))
    assert levels(findings) == [Level.SUCCESS]
    assert "glance-api.conf" in findings[0].text


def test_no_file(make, monkeypatch, tmp_path):
    setting = make()
    monkeypatch.setattr(type(setting.loaded), "places", lambda self: iter(()))
    setting.loaded.config_files.clear()
    (finding,) = thd_options(setting)
    assert finding.level is Level.SUCCESS
    assert f"No configuration file was found in {tmp_path}/home/.glance" in finding.text


@pytest.mark.parametrize(
    ("section", "name", "expected"),
    [
        ("DEFAULT", "workers", None),
        ("fast", "filesystem_store_datadir", None),
        ("fast", "weight", None),
        ("mine", "acme_whatever", None),
        ("backend_defaults", "https_insecure", None),
        ("keystone_authtoken", "password", None),
        ("DEFAULT", "scrub_time", None),
        ("keystone_authtoken", "auth_uri", "is an old name; it is [keystone_authtoken]www_"),
        ("DEFAULT", "logfile", "is an old name; it is [DEFAULT]log_file now"),
        ("DEFAULT", "admin_role", "is going away. The policy rule context_is_admin says"),
        ("DEFAULT", "registry_host", "has no effect: there is no registry service"),
        ("profiler", "enabled", "has no effect: this release has no profiler"),
        ("glance_store", "rbd_store_pool", "this release has no rbd driver"),
        ("fast", "swift_store_key", "this release has no swift driver"),
        ("DEFAULT", "wokers", "there is no such option. Did you mean workers?"),
        ("DEFAULT", "max_pool_size", "Should it stand in [database]?"),
        ("DEFAULT", "rbd_store_pool", "there is no such option."),
        ("databse", "connection", "has a section [databse]. Did you mean database?"),
        ("slow", "filesystem_store_datadir", "no store of enabled_backends has a section [slow]"),
    ],
)
def test_one_line(make, section, name, expected):
    known = known_options(make(STORES, default_store=False))
    found = list(judge(known, section, name, Place("/etc/x.conf", 7, "geheim")))
    if expected is None:
        assert found == []
        return
    (finding,) = found
    assert finding.level is Level.WARNING
    assert finding.text.startswith(f"/etc/x.conf line 7: [{section}]{name} ")
    assert expected in finding.text
    assert "geheim" not in finding.text


def test_the_section_of_credentials(make):
    setting = make("[keystone_authtoken]\nauth_section = account\n[account]\nusername = u\n")
    assert not bad(thd_options(setting))


def test_nothing_is_called_gone_that_a_program_has(make):
    known = known_options(make())
    there = [(section, name) for section, names in known.current.items() for name in names]
    assert not set(former_options.OPTIONS) & {*there, *known.former}
    assert not set(former_options.SECTIONS) & set(known.current)


@pytest.mark.parametrize(
    ("value", "failed"),
    [("false", True), ("No", True), ("0", True), ("true", False), (None, False)],
)
def test_owner_is_tenant(make, value, failed):
    setting = make("" if value is None else f"[DEFAULT]\nowner_is_tenant = {value}\n")
    assert levels(thd_owner_is_tenant(setting)) == [Level.FAILURE] * failed


def test_owner_is_tenant_in_the_environment(make, monkeypatch):
    monkeypatch.setenv("OS_DEFAULT__OWNER_IS_TENANT", "false")
    assert levels(thd_owner_is_tenant(make())) == [Level.FAILURE]


@pytest.mark.parametrize(
    ("text", "failed"),
    [
        ("[DEFAULT]\nenabled_backends = a:file, b:sheepdog\n", True),
        ("[DEFAULT]\nenabled_backends = sheepdog:file\n", True),
        ("[DEFAULT]\nenabled_backends = a:file\n", False),
        ("[glance_store]\nstores = file, sheepdog\n", True),
        ("", False),
    ],
)
def test_sheepdog(make, text, failed):
    assert levels(thd_sheepdog(make(text))) == [Level.FAILURE] * failed
