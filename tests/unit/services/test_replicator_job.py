"""What a run is to do, and where its sides are, by all that says so."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from glance.config import load
from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials
from glance.remote.side import Side
from glance.services.replicator_commands import Misuse
from glance.services.replicator_job import thd_make_job
from glance.services.replicator_line import add_arguments, read_order
from glance.services.replicator_places import thd_make_side
from tests.certificates import Authority

LOGIN = """\
auth_url = https://k.example/v3
username = uma
password = canary-password
user_domain_id = default
project_name = p
project_domain_id = default
"""

CLOUDS = """\
clouds:
  one:
    auth: {auth_url: "https://k1.example/v3", username: u, password: canary-password,
           project_name: p, user_domain_id: default, project_domain_id: default}
    region_name: north
    cacert: %s
"""

VARIABLES = {
    "OS_AUTH_URL": "https://k2.example/v3",
    "OS_USERNAME": "uma",
    "OS_PASSWORD": "canary-password",
    "OS_PROJECT_NAME": "p",
}


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Load a command line, with a configuration file's text."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def loaded(*argv: str, text: str = ""):
        path = tmp_path / "x.conf"
        path.write_text(text)
        return load("glance-replicator", [f"--config-file={path}", *argv], extra_cli=add_arguments)

    return loaded


@pytest.fixture
def authorities(tmp_path):
    """A file of certificates that can be read, though nobody will ask for one."""
    return str(Authority(tmp_path).path)


@pytest.fixture
def side(loaded):
    def side(
        *argv: str, text: str = "", name: str = "source", typed: str | None = None, **more
    ) -> Side:
        alone = more.pop("alone", False)
        return thd_make_side(loaded(*argv, text=text), name, typed, more, alone=alone)

    return side


class TestSide:
    def test_typed(self, side):
        found = side(typed="https://h/image")
        assert found.endpoint is not None
        assert (found.endpoint.url, found.credentials) == ("https://h:443/image", None)
        assert found.name == "the source"
        assert found.trust.insecure is False

    def test_configured(self, side):
        text = f"[source]\n{LOGIN}interface = internal\nregion_name = r\n"
        found = side(text=text)
        assert (found.endpoint, found.interface, found.region) == (None, "internal", "r")
        assert isinstance(found.credentials, Credentials)
        assert found.credentials.auth_url == "https://k.example/v3"
        assert "canary" not in repr(found)
        found = side(text=f"{text}server = a:1\n")
        assert found.endpoint is not None
        assert found.endpoint.place == "a:1"
        # What is typed says where, and the section still who.
        found = side(text=f"{text}server = a:1\n", typed="b:2")
        assert found.endpoint is not None
        assert found.endpoint.place == "b:2"
        assert isinstance(found.credentials, Credentials)

    def test_a_section_is_about_its_own_side(self, side):
        assert side(text=f"[target]\n{LOGIN}", typed="a:1").credentials is None

    def test_tokens(self, side):
        text = "[DEFAULT]\ntoken = both\nsourcetoken = mine\n"
        assert side(text=text, typed="a:1").credentials == "mine"
        assert side(text=text, typed="a:1", name="target").credentials == "both"
        assert side("-S", "yours", text=text, typed="a:1", name="target").credentials == "yours"
        assert side("-t", "x", text=f"[source]\n{LOGIN}", typed="a:1").credentials == "x"

    def test_named_cloud(self, side, tmp_path, authorities, monkeypatch):
        path = tmp_path / "clouds.yaml"
        path.write_text(CLOUDS % authorities)
        # Where else to look the library has settled when it was first imported.
        monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
        found = side("--source-cloud=one", "-t", "x", text="[source]\nserver = a:1\n")
        assert isinstance(found.credentials, Credentials)
        assert found.credentials.auth_url == "https://k1.example/v3"
        assert (found.endpoint, found.region) == (None, "north")
        assert found.trust.authorities[1] == authorities
        assert side("--source-cloud=one", "-M", "x", typed="a:1").credentials == "x"
        found = side(text="[source]\ncloud = one\nserver = a:1\n")
        assert found.endpoint is not None
        assert found.region == "north"
        found = side(text="[source]\ncloud = one\ninsecure = true\n")
        assert found.trust.authorities[1] == authorities
        assert found.trust.insecure

    def test_variables_of_one_side(self, side):
        prefixed = {f"SOURCE_{name}": value for name, value in VARIABLES.items()}
        found = side(text=f"[source]\n{LOGIN}", **prefixed)
        assert isinstance(found.credentials, Credentials)
        assert found.credentials.auth_url == "https://k2.example/v3"
        assert side(typed="a:1", name="target", **prefixed).credentials is None

    def test_variables_that_do_not_say_which_side_they_mean(self, side):
        assert isinstance(side(alone=True, **VARIABLES).credentials, Credentials)
        assert side(alone=True, typed="a:1", OS_TOKEN="t").credentials == "t"
        found = side(alone=True, text=f"[source]\n{LOGIN}", **VARIABLES).credentials
        assert isinstance(found, Credentials)
        assert found.auth_url == "https://k.example/v3"
        # The token of one service must not be shown to the other.
        assert side(typed="a:1", **VARIABLES).credentials is None

    @pytest.mark.parametrize(
        ("argv", "text"),
        [
            ((), ""),
            (("-t", "x"), ""),
            (("-t", "x"), f"[source]\n{LOGIN}"),
            ((), "[source]\nregion_name = r\n"),
        ],
    )
    def test_nobody_says_where_it_is(self, side, argv, text):
        with pytest.raises(ConfigError, match="Where the source is, only its login could tell"):
            side(*argv, text=text)

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("server = a:x", "[source]server: The port must be"),
            ("auth_url = http://k/v3", "[source] username or user_id is not set"),
            ("server = a:1\ncafile = /absent", "[source]cafile = /absent cannot be read"),
        ],
    )
    def test_what_cannot_be_used(self, side, text, told):
        with pytest.raises(ConfigError) as caught:
            side(text=f"[source]\n{text}\n")
        assert caught.value.message.startswith(told)

    def test_trust(self, side, authorities):
        text = f"[source]\nserver = a:1\ncafile = {authorities}\n"
        assert side(text=text).trust.authorities == ("[source]cafile", authorities)
        assert side(text=text, name="target", typed="b:2").trust.authorities[1] is None
        for argv in (("--cacert", authorities), ("--cacert=/x", "--source-cacert", authorities)):
            option, path = side(*argv, text=text).trust.authorities
            assert path == authorities
            assert option.startswith("--")
        assert side("--insecure", text=text).trust.insecure
        assert side("--source-insecure", text=text).trust.insecure
        assert not side("--target-insecure", text=text).trust.insecure
        assert side(text=f"{text}insecure = true\n").trust.insecure


class TestJob:
    @pytest.fixture
    def job(self, loaded):
        def job(*argv: str, text: str = "", asks: bool = True):
            made = loaded(*argv, text=text)
            order = read_order(made.arguments.words, made.arguments, made.conf, {})
            return thd_make_job(made, order, asks=asks)

        return job

    def test_plan(self, job):
        made = job(
            *("livecopy", "a:1", "b:2", "--parallel=8", "--retries", "0", "-D", "name  owner"),
            *("-m", "--dry-run", "--delete-extra", "--force", "--timeout=5", "-c", "2048"),
            *("--name", "a*", "--tag=x", "--tag=y", "--property=k=v=w", "--visibility=public"),
            *("--owner=p", "--since=2026-01-31", "--watch=9"),
        )
        plan = made.plan
        assert (plan.parallel, plan.retries, plan.metaonly, plan.dry_run) == (8, 0, True, True)
        assert plan.dontreplicate == {"name", "owner"}
        assert plan.delete_extra
        assert plan.selection.names == ("a*",)
        assert plan.selection.tags == ("x", "y")
        assert plan.selection.properties == (("k", "v=w"),)
        assert plan.selection.visibilities == ("public",)
        assert plan.selection.owners == ("p",)
        assert plan.selection.since == datetime(2026, 1, 31, tzinfo=UTC)
        assert (made.seconds, made.chunk, made.forced, made.watch) == (5.0, 2048, True, 9)
        assert isinstance(made.source, Side)
        assert isinstance(made.target, Side)

    def test_defaults(self, job):
        made = job("size", "a:1")
        assert made.target is None
        assert not made.plan.selection
        assert "created_at" in made.plan.dontreplicate
        assert (made.forced, made.watch) == (False, 300)

    def test_directories(self, job, tmp_path):
        assert job("dump", "a:1", str(tmp_path)).target == tmp_path
        assert job("load", "a:1", ".").source == tmp_path
        assert isinstance(job("load", "a:1", ".").target, Side)
        text = f"[target]\ndirectory = {tmp_path}\n"
        assert job("dump", "a:1", text=text).target == tmp_path

    def test_a_directory_that_is_not_there(self, job, tmp_path):
        for command in ("dump", "load"):
            with pytest.raises(ConfigError, match="There is no directory .*absent; make it"):
                job(command, "a:1", "absent")
        Path("absent").write_text("a file")
        with pytest.raises(ConfigError, match="There is no directory"):
            job("dump", "a:1", "absent")

    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["--property", "x"], "--property must be NAME=VALUE"),
            (["--visibility", "secret"], "--visibility must be one of"),
            (["--since", "yesterday"], "--since must be a date or a time"),
        ],
    )
    def test_filters_that_make_no_sense(self, job, argv, told):
        with pytest.raises(Misuse) as caught:
            job("size", "a:1", *argv)
        assert caught.value.message.startswith(told)
        assert caught.value.usage.startswith("glance-replicator size ")

    def test_who_is_asked_before_images_are_deleted(self, job):
        argv = ("livecopy", "a:1", "b:2", "--delete-extra")
        assert not job(*argv).forced
        with pytest.raises(Misuse, match="--delete-extra needs --force where nobody can be asked"):
            job(*argv, asks=False)
        assert job(*argv, "--force", asks=False).forced
        # Nothing is deleted by these.
        assert job(*argv, "--dry-run", asks=False).plan.dry_run
        text = "[DEFAULT]\ndelete_extra = true\n"
        assert job("compare", "a:1", "b:2", text=text, asks=False).plan.delete_extra
