from pathlib import Path

import pytest
from oslo_config import cfg

from glance.config import load
from glance.config.options.store import file_options
from glance.domain.errors import ConfigError
from tests.unit.config.conftest import DATABASE, LoadApi, WriteFile

SECRET = "s3cr3t-value"


def message(api: LoadApi, *argv: str) -> str:
    """Return the text of the error that loading ends in."""
    with pytest.raises(ConfigError) as caught:
        api(*argv)
    return caught.value.message


class TestPrecedence:
    def test_later_file_wins(self, api: LoadApi, write: WriteFile) -> None:
        one = write("[DEFAULT]\nbacklog = 1\nworkers = 1\n", "1.conf")
        two = write("[DEFAULT]\nbacklog = 2\n", "2.conf")
        conf = api("--config-file", one, "--config-file", two).conf
        assert (conf.backlog, conf.workers) == (2, 1)

    @pytest.mark.parametrize("directory_first", [True, False])
    def test_directory_wins_over_files_wherever_it_stands(
        self, api: LoadApi, write: WriteFile, tmp_path: Path, directory_first: bool
    ) -> None:
        file = ["--config-file", write("[DEFAULT]\nbacklog = 1\n")]
        write("[DEFAULT]\nbacklog = 2\n", "d/a.conf")
        write("[DEFAULT]\nbacklog = 3\n", "d/b.conf")
        write("[DEFAULT]\nbacklog = 4\n", "d/.hidden.conf")
        write("[DEFAULT]\nbacklog = 5\n", "d/z.conf.bak")
        directory = ["--config-dir", str(tmp_path / "d")]
        loaded = api(*(directory + file if directory_first else file + directory))
        assert loaded.conf.backlog == 3
        assert [Path(path).name for path in loaded.config_files] == ["x.conf", "a.conf", "b.conf"]

    @pytest.mark.parametrize("option_first", [True, False])
    def test_command_line_wins_over_everything(
        self,
        api: LoadApi,
        write: WriteFile,
        monkeypatch: pytest.MonkeyPatch,
        option_first: bool,
    ) -> None:
        monkeypatch.setenv("OS_DEFAULT__BIND_PORT", "3")
        file = ["--config-file", write("[DEFAULT]\nbind_port = 1\ndebug = false\n")]
        options = ["--bind-port", "2", "--debug"]
        conf = api(*(options + file if option_first else file + options)).conf
        assert (conf.bind_port, conf.debug) == (2, True)

    def test_negated_flag_wins_over_the_file(self, api: LoadApi, write: WriteFile) -> None:
        assert not api("--config-file", write("[DEFAULT]\ndebug = true\n"), "--nodebug").conf.debug

    def test_environment_wins_over_files(
        self, api: LoadApi, write: WriteFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_DATABASE__MAX_POOL_SIZE", "7")
        monkeypatch.setenv("OS_DEFAULT__BIND_PORT", "3")
        file = write("[DEFAULT]\nbind_port = 1\n[database]\nmax_pool_size = 6\n")
        conf = api("--config-file", file).conf
        assert (conf.database.max_pool_size, conf.bind_port) == (7, 3)


class TestDefaultFiles:
    def test_first_directory_that_has_a_name_decides_it(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        write("[DEFAULT]\nbacklog = 1\nworkers = 1\n", "two/glance.conf")
        write("[DEFAULT]\nbacklog = 2\n", "one/glance-api.conf")
        write("[DEFAULT]\nbacklog = 3\n", "two/glance-api.conf")
        loaded = api()
        assert (loaded.conf.backlog, loaded.conf.workers) == (2, 1)
        assert not loaded.embedded

    def test_default_directory_is_read_after_default_files(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        write("[DEFAULT]\nbacklog = 2\n", "one/glance-api.conf")
        write("[DEFAULT]\nbacklog = 3\n", "two/glance-api.conf.d/x.conf")
        assert api().conf.backlog == 3

    def test_the_rules_for_fetching_may_have_a_file_of_their_own(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        rules = "[import_filtering_opts]\nallowed_ports = [8080]\ndisallowed_hosts = [a, b]\n"
        write(rules, "one/glance-image-import.conf", database="")
        write("[import_filtering_opts]\nallowed_ports = 81, 82\n", "one/glance-api.conf")
        found = api().conf.import_filtering_opts
        assert (found.allowed_ports, found.disallowed_hosts) == ([81, 82], ["a", "b"])
        assert (found.allowed_schemes, found.allowed_hosts) == (["http", "https"], [])

    def test_given_file_replaces_the_default_ones(self, api: LoadApi, write: WriteFile) -> None:
        write("[DEFAULT]\nbacklog = 2\n", "one/glance-api.conf")
        loaded = api("--config-file", write())
        assert loaded.conf.backlog == 4096
        assert [Path(path).name for path in loaded.config_files] == ["x.conf"]

    def test_manage_reads_the_api_file_and_lets_its_own_win(
        self, write: WriteFile, tmp_path: Path
    ) -> None:
        write("[database]\nmax_retries = 1\nretry_interval = 1\n", "one/glance-api.conf")
        write("[database]\nmax_retries = 2\n", "one/glance-manage.conf", database="")
        conf = load("glance-manage", [], directories=[tmp_path / "one"]).conf
        assert (conf.database.max_retries, conf.database.retry_interval) == (2, 1)

    def test_home_comes_before_the_system(self, tmp_path: Path) -> None:
        file = tmp_path / "home/.glance/glance-api.conf"
        file.parent.mkdir(parents=True)
        file.write_text("[DEFAULT]\nbacklog = 9\n" + DATABASE)
        assert load("glance-api", []).conf.backlog == 9


class TestEmbedded:
    def test_serves_itself_without_any_file(self, api: LoadApi, tmp_path: Path) -> None:
        loaded = api()
        conf = loaded.conf
        state = tmp_path / "home/.local/state/glance"
        assert loaded.embedded
        assert loaded.state_dir == state
        assert conf.database.connection == f"sqlite:///{state}/glance.sqlite"
        assert conf.glance_store.filesystem_store_datadir == f"{state}/images"
        assert (conf.bind_host, conf.bind_port, conf.workers) == ("127.0.0.1", 9292, 0)
        assert not state.exists()

    def test_manage_uses_the_same_database(self, api: LoadApi) -> None:
        manage = load("glance-manage", [], directories=[])
        assert manage.embedded
        assert manage.conf.database.connection == api().conf.database.connection

    def test_state_directory_of_the_xdg_base(
        self, api: LoadApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "/var/xdg")
        assert api().state_dir == Path("/var/xdg/glance")
        monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
        assert api().state_dir.name == "glance"
        assert "relative" not in str(api().state_dir)

    def test_relative_state_directory_becomes_absolute(
        self, api: LoadApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        loaded = api("--state-dir", "here")
        assert loaded.state_dir == tmp_path / "here"
        assert loaded.conf.database.connection == f"sqlite:///{tmp_path}/here/glance.sqlite"

    def test_home_may_hold_a_dollar_sign(
        self, api: LoadApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", "/a$b/$debug")
        assert api().conf.glance_store.filesystem_store_datadir == "/a$b/$debug/glance/images"

    def test_question_mark_would_break_the_url(self, api: LoadApi) -> None:
        assert "[DEFAULT]state_dir (--state-dir)" in message(api, "--state-dir", "/a?b")

    def test_its_defaults_yield_to_options_and_environment(
        self, api: LoadApi, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_DATABASE__CONNECTION", "sqlite:////elsewhere")
        loaded = api("--bind-host", "::1", "--bind-port", "0", "--workers", "3")
        conf = loaded.conf
        assert loaded.embedded
        assert conf.database.connection == "sqlite:////elsewhere"
        assert (conf.bind_host, conf.bind_port, conf.workers) == ("::1", 0, 3)

    @pytest.mark.parametrize("option", ["--config-file", "--config-dir"])
    def test_ends_where_any_configuration_is_given(
        self, api: LoadApi, tmp_path: Path, option: str
    ) -> None:
        empty = tmp_path / "empty"
        empty.write_text("") if option == "--config-file" else empty.mkdir()
        assert "[database]connection is not set" in message(api, option, str(empty))

    def test_defaults_with_a_file_are_those_of_a_server(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        conf = api("--config-file", write()).conf
        assert (conf.bind_host, conf.bind_port, conf.workers) == (None, 9292, None)
        assert conf.glance_store.filesystem_store_datadir == "/var/lib/glance/images"


class TestErrors:
    @pytest.mark.parametrize(
        ("text", "option", "shown"),
        [
            ("[DEFAULT]\n\nbacklog = many\n", "[DEFAULT]backlog", "line 3) is 'many'"),
            ("[DEFAULT]\nbacklog = 0\n", "[DEFAULT]backlog", "an integer of at least 1"),
            ("[DEFAULT]\nbacklog =\n", "[DEFAULT]backlog", "is empty but must be an integer"),
            ("[DEFAULT]\nbind_port = 70000\n", "[DEFAULT]bind_port", "a port number from 0"),
            ("[DEFAULT]\nbind_host = a b\n", "[DEFAULT]bind_host", "a host name or an IP address"),
            ("[DEFAULT]\ndebug = perhaps\n", "[DEFAULT]debug", "true or false"),
            ("[database]\nconnection_debug = 101\n", "[database]connection_debug", "from 0 to 100"),
            ("[DEFAULT]\nhashing_algorithm = sha3\n", "[DEFAULT]hashing_algorithm", "'sha3'"),
            ("[DEFAULT]\nhashing_algorithm = shake_128\n", "hashing_algorithm", "fixed length"),
            ("[DEFAULT]\nuser_storage_quota = 3 cats\n", "user_storage_quota", "number of bytes"),
            ("[DEFAULT]\nlog_rotation_type = x\n", "log_rotation_type", "one of 'interval', 's"),
            ("[DEFAULT]\nsyslog_log_facility = x\n", "syslog_log_facility", "a syslog facility"),
            ("[DEFAULT]\ndefault_log_levels = a=B\n", "default_log_levels", "'a=B'"),
            ("[DEFAULT]\nenabled_backends = a\n", "enabled_backends", "name:value pairs"),
            ("[glance_store]\ndefault_store = x\n", "[glance_store]default_store", "'rbd'"),
            ("[glance_store]\nfilesystem_store_file_perm = 689\n", "file_perm", "octal"),
            ("[image_format]\nrequire_image_format_match=x\n", "[image_format]require", "true"),
            ("[healthcheck]\ndetailed = x\n", "[healthcheck]detailed", "true or false"),
            ("[import_filtering_opts]\nallowed_ports = [80, x]\n", "allowed_ports", "a list"),
            ("[import_filtering_opts]\ndisallowed_ports = 0\n", "disallowed_ports", "a list"),
        ],
    )
    def test_wrong_value_is_named_with_its_place(
        self, api: LoadApi, write: WriteFile, text: str, option: str, shown: str
    ) -> None:
        path = write(text)
        told = message(api, "--config-file", path)
        assert option in told
        assert f"{path} line " in told
        assert shown in told

    def test_the_file_that_decides_is_named(self, api: LoadApi, write: WriteFile) -> None:
        one = write("[DEFAULT]\nbacklog = 0\n", "1.conf")
        two = write("[DEFAULT]\n# a comment\nworkers = 1\n", "2.conf")
        three = write("[DEFAULT]\n# a comment\nbacklog = -1\n", "3.conf")
        assert f"{one} line 2" in message(api, "--config-file", one, "--config-file", two)
        assert f"{three} line 3" in message(api, "--config-file", one, "--config-file", three)

    def test_old_name_is_found_too(self, api: LoadApi, write: WriteFile) -> None:
        path = write("[DEFAULT]\nsql_max_pool_size = x\n")
        told = message(api, "--config-file", path)
        assert f"[database]max_pool_size ({path} line 2) is 'x'" in told

    def test_environment_is_named(
        self, api: LoadApi, write: WriteFile, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("OS_DATABASE__MAX_RETRIES", "x")
        told = message(api, "--config-file", write())
        assert "(environment variable OS_DATABASE__MAX_RETRIES) is 'x'" in told

    def test_command_line_is_named(self, api: LoadApi) -> None:
        assert message(api, "--workers", "-1").startswith("[DEFAULT]workers (--workers) is '-1'")

    @pytest.mark.parametrize(
        "text",
        [
            f"[database]\nconnection = mysql://u:{SECRET}$word@h/d\n",
            f"[database]\nconnection = mysql://u:$${SECRET}$x@h/d\n",
            f"[database]\nconnection = {SECRET}$word\n",
            f"[database]\nconnection mysql+pymysql //u {SECRET}\n",
            f"connection = mysql://u:{SECRET}@h/d\n",
            f"[database]\n   {SECRET}\n",
            f"[database\nconnection = {SECRET}\n",
            f"[database]\nmax_retries = mysql://u:{SECRET}@h/d\n",
        ],
    )
    def test_no_secret_is_told(self, api: LoadApi, write: WriteFile, text: str) -> None:
        path = write(text, database="")
        told = message(api, "--config-file", path)
        assert path in told
        assert SECRET not in told
        assert "word" not in told.replace(path, "")

    def test_lone_dollar_sign_is_explained(self, api: LoadApi, write: WriteFile) -> None:
        path = write("[database]\nconnection = mysql://u:a$b@h/d\n", database="")
        assert "write '$$'" in message(api, "--config-file", path)

    @pytest.mark.parametrize(
        ("group", "option"), [("DEFAULT", "log_dir"), ("paste_deploy", "flavor")]
    )
    def test_value_that_refers_to_itself(
        self, api: LoadApi, write: WriteFile, group: str, option: str
    ) -> None:
        path = write(f"[{group}]\n{option} = ${option}/x\n")
        told = message(api, "--config-file", path)
        assert f"[{group}]{option} ({path} line 2)" in told
        assert "does not refer to another option" in told

    def test_value_that_refers_to_another_option(self, api: LoadApi, write: WriteFile) -> None:
        path = write("[DEFAULT]\nlog_dir = /x\nlog_file = $log_dir/y\n")
        assert api("--config-file", path).conf.log_file == "/x/y"

    @pytest.mark.parametrize(
        ("text", "line", "problem"),
        [
            ("[DEFAULT]\na = 1\nnonsense\n", 3, "neither a section nor"),
            ("# hello\na = 1\n", 2, "must come before the first option"),
            ("[DEFAULT\n", 1, "must end with ']'"),
            ("[]\n", 1, "no name"),
            ("[DEFAULT]\n = 1\n", 2, "continues no option"),
            ("[DEFAULT]\n= 1\n", 2, "no option name"),
        ],
    )
    def test_malformed_file(
        self, api: LoadApi, write: WriteFile, text: str, line: int, problem: str
    ) -> None:
        path = write(text)
        told = message(api, "--config-file", path)
        assert f"{path} line {line}: " in told
        assert problem in told

    def test_files_that_cannot_be_read(self, api: LoadApi, tmp_path: Path) -> None:
        told = message(api, "--config-file", str(tmp_path / "absent"))
        assert (
            told == f"--config-file {tmp_path}/absent: cannot be read: no such file or directory."
        )
        assert "is a directory" in message(api, "--config-file", str(tmp_path))
        assert "--config-dir" in message(api, "--config-dir", str(tmp_path / "absent"))
        (tmp_path / "latin1").write_bytes(b"[DEFAULT]\nx = \xe9\n")
        assert "UTF-8" in message(api, "--config-file", str(tmp_path / "latin1"))

    def test_option_pairs(self, api: LoadApi, write: WriteFile) -> None:
        told = message(api, "--config-file", write("[DEFAULT]\ncert_file = /c\n"))
        assert "[DEFAULT]cert_file" in told
        assert "[DEFAULT]key_file must be set" in told
        told = message(api, "--config-file", write("[DEFAULT]\nca_file = /c\n"))
        assert "[DEFAULT]ca_file" in told
        assert "[DEFAULT]cert_file and [DEFAULT]key_file must be set" in told
        told = message(api, "--config-file", write("[DEFAULT]\ntransfer_stale_time = 10\n"))
        assert "transfer_heartbeat_interval" in told


class TestValues:
    @pytest.mark.parametrize(
        "text", ["raw,qcow2", "[raw,qcow2]", " [ raw , qcow2 ] ", "raw, qcow2,"]
    )
    def test_lists_with_and_without_brackets(
        self, api: LoadApi, write: WriteFile, text: str
    ) -> None:
        path = write(f"[image_format]\ndisk_formats = {text}\n")
        assert api("--config-file", path).conf.image_format.disk_formats == ["raw", "qcow2"]

    def test_empty_list(self, api: LoadApi, write: WriteFile) -> None:
        path = write("[image_format]\ndisk_formats = []\ncontainer_formats =\n")
        conf = api("--config-file", path).conf
        assert conf.image_format.disk_formats == conf.image_format.container_formats == []

    @pytest.mark.parametrize(
        "url",
        ["http://a", "HTTPS://images.example:8443/image/", "https://[::1]:9292", "http://a_b/"],
    )
    def test_base_urls(self, api: LoadApi, write: WriteFile, url: str) -> None:
        conf = api("--config-file", write(f"[DEFAULT]\npublic_endpoint = {url}\n")).conf
        assert conf.public_endpoint == url

    @pytest.mark.parametrize(
        "url",
        ["images.example", "ftp://a", "http://", "http://a?b", "http://a/#b", "http://u@a", "//a"],
    )
    def test_no_base_urls(self, api: LoadApi, write: WriteFile, url: str) -> None:
        told = message(api, "--config-file", write(f"[DEFAULT]\npublic_endpoint = {url}\n"))
        assert told.startswith("[DEFAULT]public_endpoint (")
        assert "it must be a URL such as" in told

    def test_facilities_in_any_spelling(self, api: LoadApi) -> None:
        for text in ("LOG_LOCAL3", "local3", "log_local3"):
            conf = api("--syslog-log-facility", text).conf
            assert conf.syslog_log_facility == "local3"

    def test_options_that_we_do_not_know_are_passed_over(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        path = write(
            "[DEFAULT]\ntransport_url = rabbit://\nregistry_host = x\n"
            "[keystone_authtoken]\nauth_url = http://x\n[oslo_concurrency]\nlock_path = /x\n"
        )
        assert api("--config-file", path).conf.backlog == 4096

    def test_old_names_count_and_are_told(
        self, api: LoadApi, write: WriteFile, capfd: pytest.CaptureFixture[str]
    ) -> None:
        path = write("[DEFAULT]\nsql_connection = sqlite:////x\nlogfile = /y\n", database="")
        loaded = api("--config-file", path)
        assert loaded.conf.database.connection == "sqlite:////x"
        assert loaded.conf.log_file == "/y"
        assert any("sql_connection" in text for text in loaded.warnings)
        assert any("logfile" in text for text in loaded.warnings)
        assert capfd.readouterr() == ("", "")

    def test_loading_twice_shares_nothing(self, api: LoadApi, write: WriteFile) -> None:
        path = write("[DEFAULT]\nbacklog = 5\n")
        first = api("--config-file", path, "--debug")
        assert api("--config-file", path).conf.debug is False
        Path(path).write_text(DATABASE)
        assert api("--config-file", path).conf.backlog == 4096
        assert first.conf.backlog == 5


class TestStores:
    def test_each_store_has_its_section(self, api: LoadApi, write: WriteFile) -> None:
        path = write(
            "[DEFAULT]\nenabled_backends = fast:file, slow:file, far:http\n"
            "[fast]\nfilesystem_store_datadir = /fast\nstore_description = Fast\n"
            "[far]\nweight = 3\nhttp_proxy_information = http:h:1\n"
            "[backend_defaults]\nhttps_insecure = true\n"
        )
        conf = api("--config-file", path).conf
        assert conf.fast.filesystem_store_datadir == "/fast"
        assert conf.fast.store_description == "Fast"
        assert conf["slow"].filesystem_store_datadir == "/var/lib/glance/images"
        assert conf.far.weight == 3
        assert conf.far.http_proxy_information == {"http": "h:1"}
        assert conf.backend_defaults.https_insecure is True

    @pytest.mark.parametrize("section", ["fast", "backend_defaults"])
    def test_wrong_value_in_a_section(self, api: LoadApi, write: WriteFile, section: str) -> None:
        path = write(
            "[DEFAULT]\nenabled_backends = fast:file\n"
            f"[{section}]\nfilesystem_store_chunk_size = 0\n"
        )
        told = message(api, "--config-file", path)
        assert f"[{section}]filesystem_store_chunk_size ({path} line 4) is '0'" in told

    @pytest.mark.parametrize("name", ["os_glance_x", "debug", "database", "backend_defaults"])
    def test_reserved_names(self, api: LoadApi, write: WriteFile, name: str) -> None:
        path = write(f"[DEFAULT]\nenabled_backends = {name}:file\n")
        told = message(api, "--config-file", path)
        assert f"[DEFAULT]enabled_backends ({path} line 2)" in told
        assert repr(name) in told

    def test_sections_declared_later_are_checked_alike(
        self, api: LoadApi, write: WriteFile
    ) -> None:
        path = write("[ours]\nport = x\nfilesystem_store_datadir = /y\n")
        loaded = api("--config-file", path)
        loaded.add_section("ours", file_options())
        assert loaded.conf.ours.filesystem_store_datadir == "/y"
        with pytest.raises(ConfigError, match=r"\[ours\]port .*line 2"):
            loaded.add_section("ours", [cfg.PortOpt("port")])


@pytest.mark.parametrize("program", ["glance-api", "glance-scrubber", "glance-manage"])
def test_key_of_a_wrong_length_is_refused_unseen(program: str, write: WriteFile) -> None:
    path = write("[DEFAULT]\nmetadata_encryption_key = tooshort\n")
    with pytest.raises(ConfigError) as raised:
        load(program, ["--config-file", path])
    assert "metadata_encryption_key" in str(raised.value)
    assert "16, 24 or 32" in str(raised.value)
    assert path in str(raised.value)
    assert "tooshort" not in str(raised.value)
    path = write("[DEFAULT]\nmetadata_encryption_key = 0123456789abcdef\n")
    assert load(program, ["--config-file", path]).conf.metadata_encryption_key == "0123456789abcdef"
