"""What glance-cache-manage makes of what is typed, before it asks anybody."""

from __future__ import annotations

import io
import sys

import pytest

from glance import __version__
from glance.cmd import cache_manage, cache_manage_work
from glance.cmd.cache_manage_commands import COMMANDS
from glance.cmd.cache_manage_options import make_parser, parse

ONE = "11111111-2222-3333-4444-555555555551"
TWO = "11111111-2222-3333-4444-555555555552"


@pytest.fixture
def carried_out(monkeypatch):
    """What would be done: pairs of command and images."""
    done = []

    def carry_out(command, images, arguments, environ):
        done.append((command.name, images))
        return 0

    monkeypatch.setattr(cache_manage_work, "carry_out", carry_out)
    return done


def run(monkeypatch, *argv: str, said: str = "") -> int:
    monkeypatch.setattr(sys, "argv", ["glance-cache-manage", *argv])
    monkeypatch.setattr(sys, "stdin", io.StringIO(said))
    try:
        return cache_manage.manage()
    except SystemExit as ended:
        assert isinstance(ended.code, int)
        return ended.code


class TestHelp:
    @pytest.mark.parametrize("argv", [["help"], ["--help"], ["-h"], ["queue-image", "-h"]])
    def test_of_everything(self, argv, monkeypatch, capsys):
        assert run(monkeypatch, *argv) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert out.startswith("usage: glance-cache-manage <command> [options] [args]\n")
        for name in [*COMMANDS, "--os-auth-url", "OS_TENANT_NAME"]:
            assert name in out
        assert "--os_auth_url" not in out

    @pytest.mark.parametrize("name", COMMANDS)
    def test_of_a_command(self, name, monkeypatch, capsys):
        assert run(monkeypatch, "help", name) == 0
        out = capsys.readouterr().out
        assert out.startswith(f"glance-cache-manage {name} ")
        assert ("<IMAGE_ID>" in out) == name.endswith("-image")

    def test_version(self, monkeypatch, capsys):
        assert run(monkeypatch, "--version") == 0
        assert capsys.readouterr().out == f"{__version__}\n"

    @pytest.mark.parametrize("argv", [["nope"], ["help", "nope"], ["-f", "nope", ONE]])
    def test_unknown_command(self, argv, monkeypatch, capsys):
        assert run(monkeypatch, *argv) == 1
        out, err = capsys.readouterr()
        assert out.startswith('\nError: "nope" is not a valid command.\n\nCommands:\n')
        assert "delete-all-queued-images" in out
        assert err == "Unknown command: nope\n"

    def test_no_command(self, monkeypatch, capsys):
        assert run(monkeypatch, "-v") == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("usage: glance-cache-manage <command>")
        assert "list-cached" in err


class TestUsage:
    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["--bogus"], "unrecognized arguments: --bogus"),
            (["-p", "x", "list-cached"], "argument -p/--port: 'x' is not a number"),
            (["-p", "70000", "list-cached"], "-p/--port: '70000' is not a number"),
            (["--timeout", "0", "list-cached"], "--timeout: '0' is not a number"),
            (["--timeout", "nan", "list-cached"], "--timeout: 'nan' is not a number"),
            (["-S", "magic", "list-cached"], "argument -S/--os-auth-strategy: invalid choice"),
            (["--os_auth_strategy", "x", "list-cached"], "invalid choice: 'x'"),
        ],
    )
    def test_bad_options(self, argv, told, monkeypatch, capsys):
        assert run(monkeypatch, *argv) == 2
        out, err = capsys.readouterr()
        assert (out, told in err) == ("", True)

    @pytest.mark.parametrize(
        ("argv", "told"),
        [
            (["queue-image"], "Please specify the ID of the image, or of several images.\nusage: "),
            (["delete-cached-image"], "Please specify the ID of the image"),
            (["delete-queued-image"], "Please specify the ID of the image"),
            (["list-cached", ONE], "list-cached takes no arguments.\nusage: "),
            (["delete-all-cached-images", ONE], "delete-all-cached-images takes no arguments.\n"),
            (["queue-image", "x"], "Image ID 'x' is not a valid UUID.\n"),
            (["queue-image", ONE, ONE[:-1]], f"Image ID '{ONE[:-1]}' is not a valid UUID.\n"),
            (["queue-image", f"{ONE}\n"], "is not a valid UUID.\n"),
            (["queue-image", ONE, "--json"], "--json goes with list-cached and list-queued.\n"),
            (["list-cached", "--wait"], "--wait goes with queue-image.\n"),
            (["queue-image", ONE, "--wait-time", "5"], "--wait-time goes with --wait.\n"),
        ],
    )
    def test_bad_arguments(self, argv, told, monkeypatch, capsys, carried_out):
        assert run(monkeypatch, *argv, said="y\n") == 1
        out, err = capsys.readouterr()
        assert (out, err[: len(told)] == told or err.endswith(told)) == ("", True)
        assert carried_out == []


class TestQuestions:
    @pytest.mark.parametrize(
        ("argv", "question"),
        [
            (["queue-image", ONE], f"Queue image {ONE} for caching?"),
            (["queue-image", ONE, TWO], "Queue 2 images for caching?"),
            (["delete-cached-image", ONE], f"Delete cached image {ONE}?"),
            (["delete-cached-image", ONE, TWO, ONE], "Delete 2 cached images?"),
            (["delete-all-cached-images"], "Delete all cached images?"),
            (["delete-queued-image", ONE], f"Delete queued image {ONE}?"),
            (["delete-queued-image", ONE, TWO], "Delete 2 queued images?"),
            (["delete-all-queued-images"], "Delete all queued images?"),
        ],
    )
    @pytest.mark.parametrize("said", ["y\n", "Yes\n", " YES ", "n\n", "\n", "yess\n", "j\n"])
    def test_answers(self, argv, question, said, monkeypatch, capsys, carried_out):
        assert run(monkeypatch, *argv, said=said) == 0
        assert capsys.readouterr() == (f"{question} [y/N] ", "")
        name, *images = argv
        wanted = [(name, list(dict.fromkeys(images)))]
        assert carried_out == (wanted if said.strip().lower() in ("y", "yes") else [])

    def test_nobody_there(self, monkeypatch, capsys, carried_out):
        assert run(monkeypatch, "delete-all-cached-images") == 1
        out, err = capsys.readouterr()
        assert out == "Delete all cached images? [y/N] \n"
        assert err.startswith("Nobody answered, so nothing was done. Use --force")
        assert carried_out == []

    def test_interrupt(self, monkeypatch, capsys, carried_out):
        def interrupt(question):
            raise KeyboardInterrupt

        monkeypatch.setattr("builtins.input", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(monkeypatch, "delete-all-cached-images")
        assert carried_out == []

    @pytest.mark.parametrize("option", ["-f", "--force"])
    @pytest.mark.parametrize("first", [True, False])
    def test_force(self, option, first, monkeypatch, capsys, carried_out):
        words = ["queue-image", ONE]
        argv = [option, *words] if first else [*words, option]
        assert run(monkeypatch, *argv) == 0
        assert capsys.readouterr() == ("", "")
        assert carried_out == [("queue-image", [ONE])]

    @pytest.mark.parametrize("name", ["list-cached", "list-queued"])
    def test_looking_is_not_asked_about(self, name, monkeypatch, capsys, carried_out):
        assert run(monkeypatch, name) == 0
        assert carried_out == [(name, [])]

    def test_how_long_it_took(self, monkeypatch, capsys, carried_out):
        assert run(monkeypatch, "list-cached", "-v") == 0
        out = capsys.readouterr().out
        assert out.startswith("Completed in ")
        assert out.endswith(" sec.\n")
        seconds = out.split()[2]
        assert len(seconds.partition(".")[2]) == 4


class TestSpellings:
    @pytest.mark.parametrize(
        ("option", "name"),
        [
            ("-H", "host"),
            ("--host", "host"),
            ("-A", "os_auth_token"),
            ("--auth_token", "os_auth_token"),
            ("--auth-token", "os_auth_token"),
            ("--os_auth_token", "os_auth_token"),
            ("--os-auth-token", "os_auth_token"),
            ("-os-auth-token", "os_auth_token"),
            ("-I", "os_username"),
            ("--os-username", "os_username"),
            ("--os_username", "os_username"),
            ("-K", "os_password"),
            ("--os-password", "os_password"),
            ("-R", "os_region_name"),
            ("--os-region-name", "os_region_name"),
            ("--os-tenant-id", "os_tenant_id"),
            ("--os-tenant-name", "os_tenant_name"),
            ("--os_tenant_name", "os_tenant_name"),
            ("--os-project-id", "os_project_id"),
            ("-T", "os_project_name"),
            ("--os-project-name", "os_project_name"),
            ("-N", "os_auth_url"),
            ("--os-auth-url", "os_auth_url"),
            ("--os-user-domain-id", "os_user_domain_id"),
            ("-os-user-domain-id", "os_user_domain_id"),
            ("--os-project-domain-id", "os_project_domain_id"),
            ("--os_project_domain_id", "os_project_domain_id"),
            ("--os-domain-id", "os_domain_id"),
            ("--os-cacert", "os_cacert"),
        ],
    )
    def test_values(self, option, name):
        for argv in ([option, "v", "list-cached"], ["list-cached", option, "v"]):
            assert vars(parse(argv))[name] == "v"
            assert parse(argv).words == ["list-cached"]
        joined = f"{option}=v" if len(option) > 2 else f"{option}v"
        assert vars(parse([joined]))[name] == "v"

    @pytest.mark.parametrize("option", ["-S", "--os-auth-strategy", "--os_auth_strategy"])
    @pytest.mark.parametrize("strategy", ["keystone", "noauth"])
    def test_strategies(self, option, strategy):
        assert parse([option, strategy]).os_auth_strategy == strategy

    @pytest.mark.parametrize(
        ("options", "name"),
        [
            (("-v", "--verbose"), "verbose"),
            (("-d", "--debug"), "debug"),
            (("-k", "--insecure"), "insecure"),
            (("-f", "--force"), "force"),
            (("-h", "--help"), "help"),
        ],
    )
    def test_switches(self, options, name):
        assert vars(parse([]))[name] is False
        for option in options:
            assert vars(parse([option]))[name] is True

    def test_defaults(self):
        arguments = parse([])
        assert (arguments.host, arguments.port, arguments.timeout) == ("0.0.0.0", None, 60)
        assert parse(["-p", "5", "--timeout", "2.5"]).timeout == 2.5

    def test_options_and_images_may_be_mixed(self):
        arguments = parse(["-p", "1", "queue-image", "-v", ONE, "--wait", TWO, "-H", "x"])
        assert arguments.words == ["queue-image", ONE, TWO]
        assert (arguments.host, arguments.port, arguments.wait) == ("x", 1, True)

    def test_every_long_option_is_known_with_underscores(self):
        parser = make_parser()
        names = {name for action in parser._actions for name in action.option_strings}
        for name in names:
            if name.startswith("--os-"):
                assert f"--{name[2:].replace('-', '_')}" in names
