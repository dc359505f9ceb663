"""What glance-replicator makes of what is typed."""

from __future__ import annotations

import pytest

from glance.config import load
from glance.domain.errors import Invalid
from glance.services.replicator_commands import COMMANDS, Misuse, listing
from glance.services.replicator_line import (
    add_arguments,
    read_order,
    service_order,
)

SOURCE, TARGET = ("source", "server"), ("target", "server")
TO_DISK, FROM_DISK = ("target", "directory"), ("source", "directory")


@pytest.fixture
def loaded(tmp_path, monkeypatch):
    """Load a command line, with a configuration file's text."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def loaded(*argv: str, text: str = ""):
        path = tmp_path / "x.conf"
        path.write_text(text)
        return load("glance-replicator", [f"--config-file={path}", *argv], extra_cli=add_arguments)

    return loaded


@pytest.fixture
def order(loaded):
    def order(*argv: str, text: str = "", **environ: str):
        made = loaded(*argv, text=text)
        return read_order(made.arguments.words, made.arguments, made.conf, environ)

    return order


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "name", "value"),
        [
            (("-c", "--chunksize"), "chunksize", 70000),
            (("-D", "--dontreplicate"), "dontreplicate", "a b"),
            (("-l", "--logfile", "--log-file"), "log_file", "x.log"),
            (("-t", "--token"), "token", "t"),
            (("-M", "--mastertoken", "--sourcetoken"), "sourcetoken", "t"),
            (("-S", "--slavetoken", "--targettoken"), "targettoken", "t"),
            (("--parallel",), "parallel", 8),
            (("--retries",), "retries", 0),
            (("--timeout",), "timeout", 2.5),
            (("--since",), "since", "2026-11-26"),
            (("--watch",), "watch", 60),
        ],
    )
    def test_values(self, loaded, options, name, value):
        for option in options:
            joined = f"{option}={value}" if option.startswith("--") else f"{option}{value}"
            for argv in ([option, str(value), "size"], ["size", option, str(value)], [joined]):
                assert loaded(*argv).conf[name] == value
        assert loaded(text=f"[DEFAULT]\n{name} = {value}\n").conf[name] == value

    @pytest.mark.parametrize("name", ["mastertoken", "slavetoken"])
    def test_former_names_in_files(self, loaded, name):
        conf = loaded(text=f"[DEFAULT]\n{name} = t\n").conf
        assert {"mastertoken": conf.sourcetoken, "slavetoken": conf.targettoken}[name] == "t"

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (("-d", "--debug"), "debug"),
            (("-m", "--metaonly"), "metaonly"),
            (("-s", "--syslog", "--use-syslog"), "use_syslog"),
            (("-v", "--verbose"), "verbose"),
            (("--dry-run",), "dry_run"),
            (("--delete-extra",), "delete_extra"),
            (("--force",), "force"),
        ],
    )
    def test_switches(self, loaded, options, name):
        assert loaded().conf[name] is False
        for option in options:
            assert loaded("size", option).conf[name] is True

    @pytest.mark.parametrize("name", ["name", "tag", "property", "visibility", "owner"])
    def test_filters_may_be_repeated(self, loaded, name):
        assert loaded().conf[name] == []
        assert loaded(f"--{name}", "a=1", "size", f"--{name}=b=2").conf[name] == ["a=1", "b=2"]
        text = f"[DEFAULT]\n{name} = a=1\n{name} = b=2\n"
        assert loaded(text=text).conf[name] == ["a=1", "b=2"]

    def test_defaults(self, loaded):
        conf = loaded().conf
        assert conf.chunksize == 1024**2
        assert conf.dontreplicate == "created_at date deleted_at location updated_at"
        assert (conf.parallel, conf.retries, conf.timeout, conf.watch) == (4, 5, 60, None)
        assert (conf.token, conf.sourcetoken, conf.targettoken, conf.log_file) == (None,) * 4

    def test_sides(self, loaded):
        arguments = loaded(
            *("--source-cloud", "a", "--target-cloud=b", "--cacert", "c", "--source-cacert", "d"),
            *("--insecure", "--target-insecure", "--json"),
        ).arguments
        assert (arguments.source_cloud, arguments.target_cloud) == ("a", "b")
        assert (arguments.cacert, arguments.source_cacert, arguments.target_cacert) == (
            *("c", "d"),
            None,
        )
        assert (arguments.insecure, arguments.source_insecure, arguments.target_insecure) == (
            *(True, False),
            True,
        )
        assert arguments.json is True

    def test_it_is_told_who_can_see_secrets(self, loaded, capsys):
        with pytest.raises(SystemExit):
            loaded("--help")
        told = " ".join(capsys.readouterr().out.split())
        assert told.count("Other users of this machine") == 3
        assert "OS_DEFAULT__TOKEN" in told


class TestOrder:
    @pytest.mark.parametrize(
        ("words", "typed"),
        [
            (["compare", "a:1", "b:2"], {SOURCE: "a:1", TARGET: "b:2"}),
            (["livecopy", "a:1", "https://b/image"], {SOURCE: "a:1", TARGET: "https://b/image"}),
            (["dump", "a:1", "/d"], {SOURCE: "a:1", TO_DISK: "/d"}),
            (["load", "a:1", "/d"], {TARGET: "a:1", FROM_DISK: "/d"}),
            (["size", "[::1]:9292"], {SOURCE: "[::1]:9292"}),
        ],
    )
    def test_all_is_typed(self, order, words, typed):
        made = order(*words)
        assert (made.command.name, made.typed) == (words[0], typed)
        both = "[source]\nserver = x:1\n[target]\nserver = y:1\ndirectory = /e\n"
        assert order(*words, text=both).typed == typed

    @pytest.mark.parametrize(
        ("argv", "typed"),
        [
            (["livecopy", "--source-cloud=c", "b:2"], {TARGET: "b:2"}),
            (["livecopy", "--target-cloud=c", "a:1"], {SOURCE: "a:1"}),
            (["livecopy", "--target-cloud=c", "--source-cloud=d"], {}),
            (["livecopy", "--target-cloud=c", "a:1", "b:2"], {SOURCE: "a:1", TARGET: "b:2"}),
            (["dump", "--source-cloud=c", "/d"], {TO_DISK: "/d"}),
            (["load", "--target-cloud=c", "/d"], {FROM_DISK: "/d"}),
            (["size", "--source-cloud=c"], {}),
        ],
    )
    def test_named_clouds_need_no_argument(self, order, argv, typed):
        assert order(*argv).typed == typed

    @pytest.mark.parametrize("line", ["server = x:1", "cloud = c", "auth_url = http://k/v3"])
    def test_configured_sides_need_no_argument(self, order, line):
        assert order("size", text=f"[source]\n{line}\n").typed == {}
        assert order("livecopy", "b:2", text=f"[source]\n{line}\n").typed == {TARGET: "b:2"}
        assert order("livecopy", "a:1", text=f"[target]\n{line}\n").typed == {SOURCE: "a:1"}
        text = f"[source]\n{line}\n[target]\n{line}\n"
        assert order("compare", text=text).typed == {}
        # What is named on the command line counts first.
        assert order("compare", "--source-cloud=c", "b:2", text=text).typed == {TARGET: "b:2"}

    @pytest.mark.parametrize("name", ["OS_AUTH_URL", "OS_IMAGE_ENDPOINT_OVERRIDE"])
    def test_sides_that_variables_tell_of_need_no_argument(self, order, name):
        assert order("livecopy", "b:2", **{f"SOURCE_{name}": "u"}).typed == {TARGET: "b:2"}
        assert order("livecopy", "a:1", **{f"TARGET_{name}": "u"}).typed == {SOURCE: "a:1"}
        # Without a prefix they mean the only service there is, and of two neither.
        assert order("size", **{name: "u"}).typed == {}
        assert order("dump", "/d", **{name: "u"}).typed == {TO_DISK: "/d"}
        with pytest.raises(Misuse, match="Too few arguments"):
            order("livecopy", "b:2", **{name: "u"})

    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["nope"], "Unknown command: nope\n\nCommands:\n"),
            (["size"], "Too few arguments: the source's server is missing."),
            (["livecopy", "a:1"], "Too few arguments: the target's server is missing."),
            (["dump"], "Too few arguments: the source's server and the target's directory are"),
            (["load", "a:1"], "Too few arguments: the source's directory is missing."),
            (["size", "a:1", "b:1"], "Too many arguments."),
            (["size", "a:x"], "The source's server cannot be used: The port must be a number"),
            (["size", "a:70000"], "The source's server cannot be used: The port must be"),
            (["load", "ftp://a", "/d"], "The target's server cannot be used: The host must be"),
            (["dump", "a:1", ""], "The target's directory is empty."),
            (["size", "a:1", "--dry-run"], "--dry-run goes with dump, livecopy and load."),
            (["compare", "a:1", "b:1", "--watch=5"], "--watch goes with dump, livecopy and load."),
            (["compare", "a:1", "b:1", "--force"], "--force goes with dump, livecopy and load."),
            (
                ["size", "a", "--delete-extra"],
                "--delete-extra goes with compare, dump, livecopy and",
            ),
        ],
    )
    def test_misuse(self, order, argv, told):
        with pytest.raises(Misuse) as caught:
            order(*argv)
        assert caught.value.message.startswith(told)
        name = argv[0] if argv[0] in COMMANDS else "<command>"
        assert caught.value.usage.startswith(f"glance-replicator {name} ")

    def test_one_argument_for_two_configured_sides(self, order):
        text = "[source]\nserver = x:1\n[target]\nserver = y:1\n"
        with pytest.raises(Misuse, match="Which side is meant"):
            order("livecopy", "a:1", text=text)

    def test_configured_options_are_for_those_commands_that_take_them(self, order):
        text = "[DEFAULT]\ndry_run = true\ndelete_extra = true\nwatch = 5\n"
        assert order("size", "a:1", text=text).typed == {SOURCE: "a:1"}

    def test_a_password_in_a_url_is_not_repeated(self, order):
        with pytest.raises(Misuse) as caught:
            order("size", "http://u:canary@h/")
        assert "canary" not in caught.value.message


class TestService:
    @pytest.fixture
    def service(self, loaded):
        def service(*argv: str, text: str = "", **environ: str):
            made = loaded(*argv, text=text)
            return service_order(made.arguments, made.conf, environ)

        return service

    @pytest.mark.parametrize(
        ("text", "command"),
        [
            ("[source]\nserver = a:1\n[target]\ncloud = c\n", "livecopy"),
            ("[source]\nserver = a:1\n[target]\ndirectory = /d\n", "dump"),
            ("[source]\ndirectory = /d\n[target]\nauth_url = http://k/v3\n", "load"),
        ],
    )
    def test_by_configuration(self, service, text, command):
        made = service(text=text)
        assert (made.command.name, made.typed) == (command, {})

    def test_by_variables(self, service):
        urls = {"SOURCE_OS_AUTH_URL": "u", "TARGET_OS_AUTH_URL": "u"}
        assert service(**urls).command.name == "livecopy"

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("", "Where the source is, nothing says; set [source]server or cloud."),
            ("[source]\nserver = a:1\n", "Where the target is, nothing says; set [target]"),
            ("[source]\ndirectory = a\n[target]\ndirectory = b\n", "[source]directory and"),
        ],
    )
    def test_configuration_that_does_not_say(self, service, text, told):
        with pytest.raises(Invalid) as caught:
            service(text=text)
        assert caught.value.message.startswith(told)

    def test_by_command_line(self, service):
        made = service("dump", "a:1", "/d", text="[target]\nserver = b:1\n")
        assert (made.command.name, made.typed) == ("dump", {SOURCE: "a:1", TO_DISK: "/d"})

    def test_looking_is_no_service(self, service):
        with pytest.raises(Misuse, match="A service can do dump, livecopy and load"):
            service("size", "a:1")


def test_texts():
    told = listing()
    for name, command in COMMANDS.items():
        assert f"    {name} " in told
        text = command.help()
        assert text.startswith(f"glance-replicator {name} [options] <")
        assert max(map(len, text.splitlines())) < 90
