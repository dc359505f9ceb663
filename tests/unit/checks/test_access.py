import os
from datetime import timedelta

import pytest

from glance.checks.access import (
    thd_authentication,
    thd_certificates,
    thd_policy_format,
    thd_policy_rules,
    thd_protection,
)
from glance.checks.results import Level
from glance.db.columns import utcnow
from glance.domain.errors import ConfigError
from glance.services.access import thd_load_protection
from glance.services.tls import thd_make_tls
from tests.certificates import Certificate
from tests.unit.checks.conftest import bad, levels

KEYSTONE = """\
[paste_deploy]
flavor = keystone
[keystone_authtoken]
auth_url = http://127.0.0.1:5000
username = glance
password = geheim
user_domain_id = default
project_name = service
project_domain_id = default
"""


class TestPolicy:
    @pytest.mark.parametrize(
        ("name", "text", "conf", "failed"),
        [
            ("policy.yaml", '"get_image": "role:x"', "", False),
            ("policy.yaml", '{"get_image": "role:x"}', "", True),
            ("policy.json", '{"get_image": "role:x"}', "", True),
            ("my.json", '{"get_image": "role:x"}', "[oslo_policy]\npolicy_file = my.json\n", True),
            ("policy.json", '{"a": "role:x"}', "[oslo_policy]\npolicy_file = my.json\n", False),
            ("policy.yaml", "[1, 2", "", False),
            ("other.json", '{"get_image": "role:x"}', "", False),
        ],
    )
    def test_format(self, make, tmp_path, name, text, conf, failed):
        (tmp_path / name).write_text(text)
        findings = list(thd_policy_format(make(conf)))
        assert levels(findings) == [Level.FAILURE] * failed
        assert all(str(tmp_path / name) in finding.text for finding in findings)

    def test_defaults(self, make):
        (finding,) = thd_policy_rules(make())
        assert finding.level is Level.SUCCESS
        assert "the default rules are in force" in finding.text

    def test_rules(self, make, tmp_path):
        (tmp_path / "policy.yaml").write_text('"get_image": "role:x"\n"get_imge": "role:y"\n')
        findings = list(thd_policy_rules(make()))
        assert levels(findings) == [Level.SUCCESS, Level.WARNING]
        assert "get_imge" in findings[1].text

    @pytest.mark.parametrize("text", ['"get_image": "role:x and"', "[1, 2"])
    def test_rules_that_cannot_be_used(self, make, tmp_path, text):
        (tmp_path / "policy.yaml").write_text(text)
        with pytest.raises(ConfigError, match=r"policy\.yaml"):
            list(thd_policy_rules(make()))

    def test_a_file_that_is_named_has_to_be_there(self, make):
        with pytest.raises(ConfigError, match="there is no such file"):
            list(thd_policy_rules(make("[oslo_policy]\npolicy_file = mine.yaml\n")))

    def test_a_directory_of_rules(self, make, tmp_path):
        (tmp_path / "policy.d").mkdir()
        (tmp_path / "policy.d" / "a.yaml").write_text('"get_image": "role:x"\n')
        (finding,) = thd_policy_rules(make())
        assert "policy.d/a.yaml" in finding.text


class TestProtection:
    CONF = "[DEFAULT]\nproperty_protection_file = protected.conf\n"

    def test_none(self, make):
        assert list(thd_protection(thd_load_protection, make())) == []

    def test_good(self, make, tmp_path):
        lines = "[x_.*]\ncreate = admin\nread = admin\nupdate = admin\ndelete = admin\n"
        (tmp_path / "protected.conf").write_text(lines)
        findings = list(thd_protection(thd_load_protection, make(self.CONF)))
        assert levels(findings) == [Level.SUCCESS]

    @pytest.mark.parametrize("text", [None, "[(]\nread = admin\n"])
    def test_bad(self, make, tmp_path, text):
        if text is not None:
            (tmp_path / "protected.conf").write_text(text)
        with pytest.raises(ConfigError, match=r"protected\.conf"):
            list(thd_protection(thd_load_protection, make(self.CONF)))


class TestAuthentication:
    def test_none(self, make):
        assert levels(thd_authentication(make())) == [Level.SUCCESS]

    def test_keystone(self, make):
        assert list(thd_authentication(make(KEYSTONE))) == []

    @pytest.mark.parametrize(
        "text",
        [
            "[paste_deploy]\nflavor = trusted-auth\n",
            "[paste_deploy]\nflavor = keystne\n",
            "[paste_deploy]\nflavor = keystone\n",
            KEYSTONE.replace("project_domain_id = default\n", ""),
            KEYSTONE + "cafile = /nonexistent\n",
        ],
    )
    def test_what_no_service_starts_with(self, make, text):
        with pytest.raises(ConfigError) as caught:
            list(thd_authentication(make(text)))
        assert "geheim" not in caught.value.message

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            (KEYSTONE.replace("flavor = keystone", "flavor ="), "Nobody is authenticated"),
            (KEYSTONE.replace("= keystone", "= keystone\nconfig_file = /x.ini"), "is not read"),
            ("[DEFAULT]\nallow_remote_without_auth = true\n", "whoever reaches this machine"),
        ],
    )
    def test_what_wants_looking_at(self, make, text, words):
        (told,) = bad(thd_authentication(make(text)))
        assert words in told


class TestCertificates:
    def look(self, make, tmp_path, days, mode=0o600, now=None):
        certificate, key = Certificate("localhost", days=days).write(tmp_path, "server")
        os.chmod(key, mode)
        setting = make(f"[DEFAULT]\ncert_file = {certificate}\nkey_file = {key}\n")
        setting.now = now or utcnow()
        return bad(thd_certificates(thd_make_tls, setting))

    def test_none(self, make):
        assert list(thd_certificates(thd_make_tls, make())) == []

    def test_good(self, make, tmp_path):
        assert self.look(make, tmp_path, (-1, 365)) == []

    @pytest.mark.parametrize(
        ("days", "words"),
        [((-1, 20), "ends on"), ((-3, -1), "has expired"), ((1, 99), "not valid yet")],
    )
    def test_dates(self, make, tmp_path, days, words):
        told = self.look(make, tmp_path, days)
        assert len(told) == 1
        assert words in told[0]

    def test_the_day_counts(self, make, tmp_path):
        assert self.look(make, tmp_path, (-1, 99), now=utcnow() + timedelta(days=68)) == []
        (told,) = self.look(make, tmp_path, (-1, 99), now=utcnow() + timedelta(days=71))
        assert "cert_file" in told

    def test_a_key_that_everybody_can_read(self, make, tmp_path):
        (told,) = self.look(make, tmp_path, (-1, 365), mode=0o644)
        assert "chmod o-r" in told

    def test_files_that_do_not_belong_together(self, make, tmp_path):
        certificate, _ = Certificate("localhost").write(tmp_path, "one")
        _, key = Certificate("localhost").write(tmp_path, "two")
        setting = make(f"[DEFAULT]\ncert_file = {certificate}\nkey_file = {key}\n")
        with pytest.raises(ConfigError, match="is not the key"):
            list(thd_certificates(thd_make_tls, setting))
