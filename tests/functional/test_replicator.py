"""The replicator's commands between two live services, one of which asks for tokens."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from tests.functional import replication
from tests.functional.flapping import Proxy
from tests.functional.replication import active, deactivate, patch, populate, replace, share
from tests.functional.replicator import Case, Replicator, Sides
from tests.functional.server import OCTETS
from tests.functional.wire import begun

COMMANDS = ("compare", "dump", "help", "livecopy", "load", "size")
LIST = "/v2/images"
FILE = r"/v2/images/[^/]+/file"


@pytest.fixture
def program(tmp_path: Path) -> Replicator:
    return Replicator(tmp_path)


class TestCommandLine:
    def test_help_names_all_commands(self, program: Replicator) -> None:
        for words in (("--help",), ("help",)):
            out = program.run(*words).out
            assert all(command in out for command in COMMANDS)

    @pytest.mark.parametrize("command", ["compare", "dump", "livecopy", "load", "size"])
    def test_help_for_a_command(self, program: Replicator, command: str) -> None:
        assert f"glance-replicator {command}" in program.run("help", command).out

    @pytest.mark.parametrize(
        "words",
        [
            ("copy", "127.0.0.1:1", "127.0.0.1:2"),
            ("help", "copy"),
            ("livecopy", "127.0.0.1:1"),
            ("livecopy", "127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"),
            ("compare", "127.0.0.1:1", "nowhere:port"),
            ("size", "127.0.0.1:1", "--since", "yesterday"),
            ("size", "127.0.0.1:1", "--visibility", "secret"),
            ("size", "127.0.0.1:1", "--property", "nothing"),
            ("size", "127.0.0.1:1", "--parallel", "0"),
            ("size", "127.0.0.1:1", "--unheard-of"),
            ("dump", "127.0.0.1:1", "/etc/passwd"),
            ("load", "127.0.0.1:1", "/nowhere"),
        ],
    )
    def test_what_cannot_be_meant(self, program: Replicator, words: tuple[str, ...]) -> None:
        done = program.run(*words, code=2)
        assert done.out == ""
        assert done.err

    def test_the_tokens_of_the_manual(self, case: Case) -> None:
        """The manual's spellings, and a token that is not the target's."""
        token = case.target.token or ""
        case.image()
        for words in (("-S", token), ("--slavetoken", token), ("--targettoken", token)):
            case.livecopy("-M", "whatever", *words, OS_DEFAULT__TARGETTOKEN="none")
        case.livecopy("-t", token, OS_DEFAULT__TARGETTOKEN=token)
        assert case.differences() == []


class TestLivecopy:
    def test_everything_an_image_is(self, case: Case) -> None:
        owner = f"p-{uuid4().hex}"
        made = populate(case.source, owner)
        words = (*case.places, "--owner", owner, "--owner", f"{owner}-2")
        done = case.program.run("livecopy", *words)
        copied = active(made)
        assert replication.differences(case.source, case.target, copied) == []
        for name, image_id in made.items():
            if image_id not in copied:
                # Said, and left alone.
                assert image_id in done.said, name
                assert case.there(image_id) is None

        # Nothing is left to do, and nothing is done.
        before = {image_id: case.there(image_id) for image_id in copied}
        with Proxy(case.target.port) as proxy:
            case.program.run("livecopy", words[0], proxy.place, *words[2:])
            assert {asked.method for asked in proxy.asked} == {"GET"}
        assert {image_id: case.there(image_id) for image_id in copied} == before
        assert case.program.run("compare", *words).code == 0

    def test_an_address_with_a_path(self, case: Case) -> None:
        case.image()
        source, target = (f"http://{place}" for place in case.places)
        case.run("livecopy", f"{source}/", target)
        assert case.differences() == []

    @pytest.mark.parametrize("parallel", [1, 16])
    def test_several_at_once(self, case: Case, parallel: int) -> None:
        case.images(*(bytes([n]) * 100_000 * n for n in range(12)))
        case.livecopy("--parallel", parallel)
        assert case.differences() == []

    def test_what_differs_is_patched(self, case: Case) -> None:
        plain = {"name": "before", "a/b~c": "1", "gone": "2", "kept": "3", "visibility": "shared"}
        changed = case.image(**plain)
        share(case.source, changed, bob="accepted", carol="pending")
        unprotected = case.image(protected=True, visibility="public")
        protected = case.image()
        untouched = case.image()
        case.livecopy()
        before = case.there(untouched)

        patch(
            case.source,
            changed,
            {"op": "replace", "path": "/name", "value": "after"},
            {"op": "replace", "path": "/a~1b~0c", "value": "~1"},
            {"op": "add", "path": "/née", "value": "4"},
            {"op": "remove", "path": "/gone"},
            {"op": "replace", "path": "/tags", "value": [case.tag, "new", "a/b"]},
            {"op": "replace", "path": "/os_hidden", "value": True},
            {"op": "replace", "path": "/min_ram", "value": 64},
        )
        members = f"{LIST}/{changed}/members"
        replication.ask(case.source, 204, "DELETE", f"{members}/bob")
        replication.ask(case.source, 200, "PUT", f"{members}/carol", {"status": "rejected"})
        share(case.source, changed, dave="accepted", erin="pending")
        replace(case.source, unprotected, "protected", False)
        replace(case.source, unprotected, "visibility", "private")
        replace(case.source, protected, "protected", True)
        assert case.differences() != []

        with Proxy(case.target.port) as proxy:
            case.run("livecopy", case.places[0], proxy.place)
            assert proxy.data == 0
        assert case.differences() == []
        assert case.there(untouched) == before

    def test_a_name_that_is_taken_away(self, case: Case) -> None:
        image_id = case.image(name="named")
        case.livecopy()
        replace(case.source, image_id, "name", None)
        case.livecopy()
        assert case.differences() == []

    def test_what_is_shared_no_more(self, case: Case) -> None:
        image_id = case.image(visibility="shared")
        share(case.source, image_id, bob="accepted")
        case.livecopy()
        replace(case.source, image_id, "visibility", "private")
        case.livecopy()
        assert case.differences() == []

    def test_data_that_differs_is_a_conflict(self, case: Case) -> None:
        other = case.image(b"one", name="other data")
        form = case.image(b"two", name="other format")
        good = case.image(b"three")
        replication.image(case.target, b"1", id=other, tags=[case.tag], name="other data")
        replication.image(
            case.target, b"two", id=form, tags=["x"], name="other format", container_format="ovf"
        )
        before = case.there(other), case.there(form)
        done = case.livecopy(code=1)
        for image_id, name in ((other, "other data"), (form, "other format")):
            assert image_id in done.said
            assert name in done.said
        assert "container_format" in done.said
        assert (case.there(other), case.there(form)) == before
        assert replication.differences(case.source, case.target, [good]) == []

    def test_an_image_without_its_data_is_completed(self, case: Case) -> None:
        image_id = case.image(b"the data", name="right")
        replication.create(case.target, id=image_id, name="wrong", disk_format="qcow2")
        case.livecopy()
        assert case.differences() == []

    def test_an_image_that_somebody_uploads(self, case: Case) -> None:
        image_id = case.image(b"the data")
        replication.create(case.target, id=image_id, tags=[case.tag])
        headers = (f"X-Auth-Token: {case.target.token}", "Transfer-Encoding: chunked")
        with begun(case.target, image_id, *headers, data=b"9\r\nnot mine!\r\n"):
            done = case.livecopy("--retries", 1, code=1)
            assert image_id in done.said
            assert "saving" in done.said
        # That one went away.
        case.target.await_status(image_id, "queued")
        case.livecopy()
        assert case.differences() == []

    def test_an_id_that_was_deleted(self, case: Case) -> None:
        image_id, other = case.images(b"gone", b"there")
        case.livecopy()
        replication.ask(case.target, 204, "DELETE", f"{LIST}/{image_id}")
        done = case.livecopy("--retries", 1, code=1)
        assert image_id in done.said
        assert other not in done.said
        assert case.there(image_id) is None

    def test_an_image_of_the_same_id_that_is_hidden(self, case: Case) -> None:
        image_id = case.image(name="seen")
        case.livecopy()
        replace(case.target, image_id, "os_hidden", True)
        case.livecopy()
        assert case.differences() == []

    def test_fields_that_are_not_replicated(self, case: Case) -> None:
        image_id = case.image(name="name", kept="1", left="2", visibility="private")
        case.livecopy("-D", "left visibility name created_at")
        there = case.there(image_id)
        assert there is not None
        assert (there["kept"], there.get("left"), there["name"]) == ("1", None, None)
        replace(case.source, image_id, "kept", "3")
        replace(case.target, image_id, "name", "of the target")
        case.livecopy("--dontreplicate", "left visibility name created_at")
        there = case.there(image_id)
        assert there is not None
        assert (there["kept"], there["name"]) == ("3", "of the target")
        case.run("compare", *case.places, "-D", "left visibility name")
        case.run("compare", *case.places, code=1)

    def test_metadata_only(self, case: Case) -> None:
        known = case.image(name="before")
        case.livecopy()
        new = case.image(name="new")
        replace(case.source, known, "name", "after")
        done = case.livecopy("--metaonly")
        assert new in done.said
        assert case.there(new) is None
        assert replication.differences(case.source, case.target, [known]) == []

    def test_a_dry_run(self, case: Case) -> None:
        known = case.image(name="before")
        case.livecopy()
        replace(case.source, known, "name", "after")
        new = case.image(name="new")
        extra = replication.image(case.target, b"x", tags=[case.tag])
        before = case.there(known)
        with Proxy(case.target.port) as proxy:
            words = (case.places[0], proxy.place, "--dry-run", "--delete-extra", "--force")
            done = case.run("livecopy", *words, "--verbose")
            assert {asked.method for asked in proxy.asked} == {"GET"}
        assert all(image_id in done.said for image_id in (known, new, extra))
        assert case.there(known) == before
        assert case.there(new) is None
        assert case.there(extra) is not None

    def test_images_that_only_the_target_has(self, case: Case) -> None:
        kept = case.image()
        extra = replication.image(case.target, b"x", tags=[case.tag], name="extra")
        protected = replication.image(case.target, b"x", tags=[case.tag], protected=True)
        of_others = replication.image(case.target, b"x", tags=["another"])
        case.livecopy()
        assert case.there(extra) is not None
        # Nobody can be asked.
        done = case.livecopy("--delete-extra", code=None)
        assert done.code in (1, 2)
        assert "--force" in done.said
        assert case.there(extra) is not None

        done = case.livecopy("--delete-extra", "--force", code=None)
        assert case.there(extra) is None
        assert case.there(protected) is not None
        assert protected in done.said
        assert case.there(of_others) is not None
        assert case.there(kept) is not None
        replace(case.target, protected, "protected", False)

    def test_nothing_is_deleted_if_the_source_is_lost(self, case: Case) -> None:
        extra = replication.image(case.target, b"x", tags=[case.tag])
        words = ("--delete-extra", "--force", "--retries", 0)
        case.run("livecopy", "127.0.0.1:9", case.places[1], *words, code=3)
        assert case.there(extra) is not None

    def test_filters(self, case: Case) -> None:
        ids = {
            name: case.image(**fields)
            for name, fields in {
                "a": {"name": "debian-12", "kind": "x", "visibility": "public", "owner": "p1"},
                "b": {"name": "debian-13", "kind": "y", "visibility": "public", "owner": "p2"},
                "c": {"name": "fedora", "kind": "x", "visibility": "private", "owner": "p1"},
                "d": {"kind": "x", "os_hidden": True, "visibility": "private", "owner": "p3"},
            }.items()
        }
        for wanted, *words in (
            ("ab", "--name", "debian-*"),
            ("abc", "--name", "fedora", "--name", "debian-1?"),
            ("acd", "--property", "kind=x"),
            ("cd", "--visibility", "private"),
            ("abcd", "--visibility", "private", "--visibility", "public"),
            ("ac", "--owner", "p1"),
            ("a", "--owner", "p1", "--name", "debian*"),
            ("abcd", "--since", "2020-01-01"),
            ("", "--since", "2120-01-01T00:00:00Z"),
            ("", "--tag", "another"),
        ):
            found = case.run("size", case.places[0], "--json", *words).json
            assert found["images"] == len(wanted), words
        case.livecopy("--name", "debian-*", "--property", "kind=y")
        assert [name for name, one in ids.items() if case.there(one)] == ["b"]


class TestWhoAsks:
    def test_an_owner_that_may_not_be_kept(self, case: Case) -> None:
        """Who copies is no administrator of the target: the images become its own."""
        own, shared = (case.image(name=name, owner="p1") for name in ("one", "two"))
        token = case.identity.token("member", "reader", project="p9")
        done = case.livecopy(OS_DEFAULT__TARGETTOKEN=token)
        assert case.differences(("owner",)) == []
        for image_id in (own, shared):
            there = case.there(image_id)
            assert there is not None
            assert there["owner"] == "p9"
            assert image_id in done.said
        assert "owner" in done.said
        # It stays so, and is no reason to try again and again.
        case.livecopy(OS_DEFAULT__TARGETTOKEN=token)
        assert case.differences(("owner",)) == []

    def test_what_only_an_administrator_may_do(self, case: Case) -> None:
        public = case.image(name="public", visibility="public")
        private = case.image(name="private", visibility="private")
        token = case.identity.token("member", "reader", project="p9")
        done = case.livecopy(code=1, OS_DEFAULT__TARGETTOKEN=token)
        assert public in done.said
        assert "403" in done.said
        assert case.there(public) is None or case.target.status(public) == "queued"
        assert replication.differences(case.source, case.target, [private], ["owner"]) == []
        # An administrator gets on with it.
        case.livecopy()
        assert replication.differences(case.source, case.target, [public]) == []

    @pytest.mark.parametrize("token", ["", "canary-wrong-token"])
    def test_a_token_that_is_none(self, case: Case, token: str) -> None:
        case.image()
        done = case.livecopy(code=3, OS_DEFAULT__TARGETTOKEN=token)
        assert case.places[1] in done.err
        assert "canary" not in done.said

    def test_a_reader(self, case: Case) -> None:
        image_id = case.image()
        token = case.identity.token("reader", project="p9")
        done = case.livecopy(code=1, OS_DEFAULT__TARGETTOKEN=token)
        assert image_id in done.said
        assert token not in done.said

    def test_a_side_that_is_not_there(self, case: Case) -> None:
        case.image()
        for places in (("127.0.0.1:9", case.places[1]), (case.places[0], "127.0.0.1:9")):
            for command in ("livecopy", "compare"):
                done = case.run(command, *places, "--retries", 0, code=3)
                assert "127.0.0.1:9" in done.err

    def test_something_that_is_no_image_service(self, case: Case) -> None:
        place = f"127.0.0.1:{case.identity.port}"
        assert place in case.run("livecopy", case.places[0], place, code=3).err

    def test_tokens_end_in_the_midst(self, case: Case, tmp_path: Path) -> None:
        """Who logs in gets another one; the catalogue says where the target is."""
        case.images(*(bytes([n]) * 1000 for n in range(20)))
        lives: list[str] = []

        def log_in() -> str:
            lives.append(case.identity.token("admin", project="admins"))
            return lives[-1]

        case.identity.accounts["copier", "canary-secret"] = log_in
        case.identity.offered["image"] = f"http://{case.places[1]}"
        (tmp_path / "clouds.yaml").write_text(
            f"""
            clouds:
              there:
                auth:
                  auth_url: {case.identity.url}/v3
                  username: copier
                  password: canary-secret
                  project_name: admins
                  user_domain_id: default
                  project_domain_id: default
            """
        )
        with Proxy(case.source.port) as proxy:
            # Each is taken back as soon as it has done a little, and only once: that it is no good
            # any more shows with the next request.
            taken: set[str] = set()

            def take_back() -> None:
                for token in set(lives) - taken:
                    case.identity.revoke(token)
                    taken.add(token)
                if len(lives) < 4:
                    proxy.alarm(3000, take_back)

            proxy.alarm(3000, take_back)
            words = ("--target-cloud", "there", "--parallel", 2)
            done = case.run("livecopy", proxy.place, *words, OS_DEFAULT__TARGETTOKEN="")
        assert len(taken) > 2
        assert case.differences() == []
        assert "canary" not in done.said


class TestCompare:
    def test_the_same(self, case: Case) -> None:
        case.images(b"one", b"two")
        case.livecopy()
        case.run("compare", *case.places)
        found = case.run("compare", *case.places, "--json").json
        assert found["is_same"] is True
        assert (found["same"], found["different"], found["missing"]) == (2, [], [])

    def test_what_differs_is_named(self, case: Case) -> None:
        missing, name, prop, tags, members, data, same = case.images(*[b"data"] * 7)
        case.livecopy()
        missing = case.image(name="missing one")
        inactive = replication.create(case.source, tags=[case.tag], name="queued one")
        extra = replication.image(case.target, b"", tags=[case.tag], name="extra one")
        replace(case.source, name, "name", "here")
        patch(case.target, prop, {"op": "add", "path": "/only", "value": "there"})
        replace(case.target, tags, "tags", [case.tag, "more"])
        share(case.source, members, bob="accepted")
        deactivate(case.target, data)
        done = case.run("compare", *case.places, "--json", code=1)
        found = done.json
        assert found["same"] == 2
        assert {one["id"] for one in found["missing"]} == {missing}
        assert extra in done.out
        by_id = {one["id"]: one["fields"] for one in found["different"]}
        assert set(by_id) == {name, prop, tags, members, data}
        assert by_id[name]["name"] == {"source": "here", "target": "image 1"}
        assert by_id[prop]["only"]["target"] == "there"
        assert set(by_id[tags]) == {"tags"}
        assert set(by_id[members]) == {"members"}
        human = case.run("compare", *case.places, code=1).out
        for text in (missing, "missing one", name, "here", "only", "tags", "members"):
            assert text in human
        assert same not in human
        assert inactive not in by_id

    def test_what_only_the_target_has(self, case: Case) -> None:
        case.image()
        case.livecopy()
        replication.image(case.target, b"", tags=[case.tag])
        assert "1 on the target only" in case.run("compare", *case.places).out
        case.run("compare", *case.places, "--delete-extra", code=1)
        assert case.differences() == []

    def test_a_service_and_itself(self, case: Case) -> None:
        case.image()
        place = case.places[0]
        case.run("compare", place, place)
        done = case.run("livecopy", place, place, "--delete-extra", "--force", code=2)
        assert f"the same service, {place}" in done.err

    def test_members_of_many_images(self, case: Case) -> None:
        for n in range(5):
            share(case.source, case.image(visibility="shared"), **{f"m{n}": "accepted"})
        case.livecopy()
        with Proxy(case.target.port) as proxy:
            case.run("compare", case.places[0], proxy.place)
            assert proxy.count("GET", r".*/members") == 0
        # A service that does not tell members in its list is asked for each.
        with Proxy(case.target.port, headers={"Prefer": "none"}) as proxy:
            case.run("compare", case.places[0], proxy.place)
            asked = {one.path for one in proxy.asked}
            assert {f"{LIST}/{image_id}/members" for image_id in case.ids} <= asked


class TestSize:
    def test_what_there_is(self, case: Case) -> None:
        case.images(b"x" * 1024, b"x" * 512)
        case.image(b"")
        replication.create(case.source, tags=[case.tag])
        done = case.run("size", case.places[0])
        assert "1.5 KiB" in done.out or "1.5 KB" in done.out
        assert "3" in done.out
        found = case.run("size", case.places[0], "--json").json
        assert (found["images"], found["bytes"]) == (3, 1536)


def test_data_of_a_deactivated_image_stays(case: Case) -> None:
    """It is not active on the source any more: the copy that is there is left alone."""
    image_id = case.image()
    case.livecopy()
    deactivate(case.source, image_id)
    done = case.livecopy()
    assert image_id in done.said
    assert case.target.status(image_id) == "active"


def test_large_files_are_not_kept_in_memory(case: Case) -> None:
    size = 256 * 1024 * 1024
    with (Path(case.home) / "zeros").open("w+b") as file:
        file.truncate(size)
        image_id = replication.create(case.source, tags=[case.tag])
        connection = case.source.connection()
        connection.request(
            "PUT", f"{LIST}/{image_id}/file", file, {**OCTETS, "Content-Length": str(size)}
        )
        assert connection.getresponse().status == 204
        connection.close()
    process = case.program.start("livecopy", *case.places, "--tag", case.tag)
    peak = 0
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) * 1024)
    out, err = process.communicate()
    assert process.returncode == 0, (out, err)
    assert 0 < peak < 150_000_000
    assert case.target.show(image_id)["size"] == size


def test_the_sides_are_two(sides: Sides) -> None:
    """Otherwise nothing here would prove anything."""
    assert sides.source.port != sides.target.port
    assert sides.target.request("GET", LIST, headers={"X-Auth-Token": "none"}).status == 401
