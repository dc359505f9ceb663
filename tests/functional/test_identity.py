"""Callers and their tokens, with an identity service that fails when a test likes it to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.certificates import Authority
from tests.functional.identity import IdentityServer
from tests.functional.server import Answer, Server, eventually
from tests.functional.wire import Wire

LIST = "/v2/images"
CHALLENGE = 'Keystone uri="http://identity.example/v3"'


@pytest.fixture(scope="module")
def shared_identity() -> Iterator[IdentityServer]:
    with IdentityServer(prefix="/identity") as identity:
        yield identity


@pytest.fixture(scope="module")
def shared_server(shared_identity: IdentityServer) -> Iterator[Server]:
    """A service that nothing happens to."""
    # At level DEBUG, where a token that is logged anywhere would show.
    with Server(options=shared_identity.options(), settings={"debug": True}) as server:
        yield server
        assert server.trouble() == []
        assert "canary" not in server.log_text()


@pytest.fixture
def identity(shared_identity: IdentityServer) -> IdentityServer:
    return shared_identity


@pytest.fixture
def served(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
def own_identity() -> Iterator[IdentityServer]:
    """One that may fail."""
    with IdentityServer() as identity:
        yield identity


def ask(
    server: Server,
    token: str | None = None,
    method: str = "GET",
    path: str = LIST,
    service: str | None = None,
    **headers: str,
) -> Answer:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        sent["X-Auth-Token"] = token
    if service is not None:
        sent["X-Service-Token"] = service
    return server.request(method, path, headers=sent)


def known(answer: Answer) -> bool:
    """Whether the service knows who asked, whatever that one may do."""
    assert answer.status in (200, 401, 403, 503), answer
    return answer.status in (200, 403)


def refused(answer: Answer) -> bool:
    if answer.status != 401:
        return False
    assert answer.headers["WWW-Authenticate"] == CHALLENGE
    return True


def unavailable(answer: Answer) -> bool:
    if answer.status != 503:
        return False
    assert int(answer.headers["Retry-After"]) > 0
    assert "WWW-Authenticate" not in answer.headers
    return True


class TestTokens:
    def test_administrator(self, identity: IdentityServer, served: Server) -> None:
        token = identity.token("admin")
        for _ in range(3):
            assert ask(served, token).status == 200
        assert identity.asked[token] == 1

    @pytest.mark.parametrize("roles", [("member",), ("reader",), ()])
    def test_others_are_known_too(
        self, identity: IdentityServer, served: Server, roles: tuple[str, ...]
    ) -> None:
        assert known(ask(served, identity.token(*roles)))

    @pytest.mark.parametrize("token", [None, "", "unknown", "a b", "x" * 9000])
    def test_without_a_valid_one(self, served: Server, token: str | None) -> None:
        assert refused(ask(served, token))

    def test_refusal_comes_in_every_form(self, served: Server) -> None:
        answer = ask(served, Accept="application/json")
        assert refused(answer)
        assert answer.json["code"] == "401 Unauthorized"

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("POST", LIST),
            ("GET", "/v2/schemas/image"),
            ("PATCH", f"{LIST}/x"),
            ("DELETE", f"{LIST}/x"),
            ("PUT", f"{LIST}/x/file"),
            ("GET", f"{LIST}/x/file"),
            ("PUT", f"{LIST}/x/tags/y"),
            ("POST", f"{LIST}/x/actions/deactivate"),
        ],
    )
    def test_nothing_is_open_to_strangers(self, served: Server, method: str, path: str) -> None:
        assert refused(ask(served, None, method, path))

    def test_what_is_open_to_all(self, served: Server) -> None:
        assert ask(served, path="/versions").status == 200
        assert ask(served, path="/healthcheck").status == 200

    def test_storage_token(self, identity: IdentityServer, served: Server) -> None:
        assert ask(served, X_Storage_Token=identity.token("admin")).status == 200

    def test_forged_identity(self, identity: IdentityServer, served: Server) -> None:
        forged = {
            "X_Identity_Status": "Confirmed",
            "X_User_Id": "root",
            "X_Project_Id": "p1",
            "X_Tenant_Id": "p1",
            "X_Roles": "admin",
            "X_Service_Roles": "service",
            "X_Is_Admin_Project": "True",
            "OpenStack_System_Scope": "all",
        }
        assert refused(ask(served, None, **forged))
        assert refused(ask(served, "unknown", **forged))
        member = identity.token("member")
        # Another's image: what an administrator may do, and nobody else.
        headers = {name.replace("_", "-"): value for name, value in forged.items()}
        answer = served.request(
            "POST", LIST, {"name": "x", "owner": "p2"}, {**headers, "X-Auth-Token": member}
        )
        assert answer.status == 403

    def test_token_that_has_ended(self, identity: IdentityServer, served: Server) -> None:
        assert refused(ask(served, identity.token("admin", life=-60)))

    def test_token_that_ends(self, identity: IdentityServer, served: Server) -> None:
        token = identity.token("admin", life=2)
        answer = ask(served, token)
        assert known(answer) or refused(answer)
        eventually(lambda: refused(ask(served, token)), "the token's end")

    def test_revoked_token_is_good_while_it_is_remembered(
        self, identity: IdentityServer, served: Server
    ) -> None:
        token = identity.token("admin")
        assert ask(served, token).status == 200
        identity.revoke(token)
        assert ask(served, token).status == 200

    def test_upload_with_a_token_that_must_be_asked_about(
        self, identity: IdentityServer, served: Server
    ) -> None:
        served.token = identity.token("admin")
        try:
            image_id = served.create()
            data = bytes(range(256)) * 40000
            token = identity.token("admin")
            with Wire(served) as wire:
                with identity.held():
                    wire.put(image_id, f"Content-Length: {len(data)}", f"X-Auth-Token: {token}")
                    wire.send(data[:100000])
                    eventually(lambda: identity.asked[token] == 1, "the question")
                wire.send(data[100000:])
                assert wire.answer().status == 204
            assert served.download(image_id).body == data
        finally:
            served.token = None

    def test_upload_of_a_stranger_is_refused_before_its_body(self, served: Server) -> None:
        with Wire(served) as wire:
            wire.put("x", "Content-Length: 1000000000", "Expect: 100-continue")
            assert refused(wire.answer())


class TestServiceTokens:
    def test_user_s_token_may_have_ended(self, identity: IdentityServer, served: Server) -> None:
        ended, service = identity.token("admin", life=-60), identity.token("service")
        assert refused(ask(served, ended))
        assert ask(served, ended, service=service).status == 200
        # That changes nothing for those who come without a service.
        assert refused(ask(served, ended))

    def test_wrong_one_spoils_the_request(self, identity: IdentityServer, served: Server) -> None:
        token = identity.token("admin")
        assert ask(served, token).status == 200
        assert refused(ask(served, token, service="unknown"))
        assert refused(ask(served, token, service=identity.token("service", life=-60)))
        assert refused(ask(served, token, service=identity.token("admin")))

    def test_it_is_none_of_a_user(self, identity: IdentityServer, served: Server) -> None:
        service = identity.token("service", "admin")
        assert refused(ask(served, None, service=service))
        assert refused(ask(served, "unknown", service=service))


class TestAccessRules:
    def test_only_what_they_allow(self, identity: IdentityServer, served: Server) -> None:
        rules = [
            {"service": "image", "method": "GET", "path": LIST},
            {"service": "image", "method": "GET", "path": "/v2/images/*"},
            {"service": "compute", "method": "DELETE", "path": "**"},
        ]
        token = identity.token("admin", access_rules=rules)
        assert ask(served, token).status == 200
        assert ask(served, token, path="/v2.7/images").status == 200
        assert ask(served, token, path=f"{LIST}/unknown").status == 404
        for method, path in [
            ("GET", "/v2/schemas/image"),
            ("DELETE", f"{LIST}/unknown"),
            ("GET", f"{LIST}/unknown/file"),
            # Routed like the one before.
            ("GET", f"{LIST}/unknown%2Ffile"),
        ]:
            assert refused(ask(served, token, method, path))
        service = identity.token("service")
        assert ask(served, token, path="/v2/schemas/image", service=service).status == 200


class TestCache:
    def test_revoked_token(self, own_identity: IdentityServer) -> None:
        with Server(options=own_identity.options(token_cache_time=1)) as server:
            token = own_identity.token("admin")
            assert ask(server, token).status == 200
            own_identity.revoke(token)
            eventually(lambda: refused(ask(server, token)), "the revocation to show")

    def test_none(self, own_identity: IdentityServer) -> None:
        with Server(options=own_identity.options(token_cache_time=-1)) as server:
            token = own_identity.token("admin")
            for _ in range(3):
                assert ask(server, token).status == 200
            assert own_identity.asked[token] == 3
            own_identity.revoke(token)
            assert refused(ask(server, token))

    def test_many_requests_with_a_new_token_ask_once(
        self, identity: IdentityServer, served: Server
    ) -> None:
        token = identity.token("admin")
        wires = [Wire(served) for _ in range(50)]
        try:
            with identity.held():
                for wire in wires:
                    wire.head("GET", LIST, f"X-Auth-Token: {token}")
                eventually(lambda: identity.asked[token] == 1, "the question")
                # Those who go away disturb nobody.
                for wire in wires[:10]:
                    wire.close()
            statuses = {wire.answer().status for wire in wires[10:]}
        finally:
            for wire in wires:
                wire.close()
        assert statuses == {200}
        assert identity.asked[token] == 1


class TestOutages:
    @pytest.fixture
    def server(self, own_identity: IdentityServer) -> Iterator[Server]:
        with Server(options=own_identity.options(http_connect_timeout=2)) as server:
            yield server
            assert server.trouble() == []
            assert "canary" not in server.log_text()

    @pytest.mark.parametrize("fault", [500, 503, "drop", "hang", 429, 302])
    def test_failing(self, own_identity: IdentityServer, server: Server, fault: int | str) -> None:
        remembered = own_identity.token("admin")
        assert ask(server, remembered).status == 200
        own_identity.fault = fault
        token = own_identity.token("admin")
        assert unavailable(ask(server, token))
        assert ask(server, remembered).status == 200
        own_identity.fault = None
        assert ask(server, token).status == 200
        assert "cannot be used" in server.log_text()

    def test_gone_and_back(self, own_identity: IdentityServer, server: Server) -> None:
        remembered = own_identity.token("admin")
        assert ask(server, remembered).status == 200
        own_identity.down()
        token = own_identity.token("admin")
        assert unavailable(ask(server, token))
        assert unavailable(ask(server, token))
        assert ask(server, remembered).status == 200
        # A stranger is told of a mistake and not of an outage.
        assert refused(ask(server))
        own_identity.up()
        assert ask(server, token).status == 200
        assert (
            len([line for line in server.log_text().splitlines() if "cannot be used" in line]) == 1
        )

    def test_gone_at_start(self, own_identity: IdentityServer) -> None:
        own_identity.down()
        with Server(options=own_identity.options()) as server:
            token = own_identity.token("admin")
            assert unavailable(ask(server, token))
            own_identity.up()
            assert ask(server, token).status == 200

    def test_our_own_token_is_revoked(self, own_identity: IdentityServer, server: Server) -> None:
        assert ask(server, own_identity.token("admin")).status == 200
        own_identity.revoke_all()
        assert ask(server, own_identity.token("admin")).status == 200
        assert own_identity.logins == 2

    def test_our_own_user_may_not_ask(self) -> None:
        with (
            IdentityServer(roles=["member"]) as identity,
            Server(options=identity.options()) as server,
        ):
            assert unavailable(ask(server, identity.token("admin")))
            assert "needs the role admin or service" in server.log_text()

    def test_our_own_password_is_wrong(self, own_identity: IdentityServer) -> None:
        with Server(options=own_identity.options(password="canary-wrong")) as server:
            for _ in range(5):
                assert unavailable(ask(server, own_identity.token("admin")))
            # An account can be locked by trying.
            assert own_identity.logins == 1
            assert "refused the credentials of [keystone_authtoken] (401)" in server.log_text()
            assert "canary" not in server.log_text()

    def test_stopping_while_a_request_waits(
        self, own_identity: IdentityServer, server: Server
    ) -> None:
        token = own_identity.token("admin")
        with own_identity.held(), Wire(server) as wire:
            wire.head("GET", LIST, f"X-Auth-Token: {token}")
            eventually(lambda: own_identity.asked[token], "the question")
            begun = time.monotonic()
            assert server.break_off() == 0
            assert time.monotonic() - begun < 30
            server.start()


class TestAnonymous:
    def test_may_look_and_change_nothing(self, own_identity: IdentityServer) -> None:
        settings = {"allow_anonymous_access": True}
        with Server(options=own_identity.options(), settings=settings) as server:
            for token in (None, "unknown"):
                assert known(ask(server, token))
                answer = ask(server, token, "POST")
                assert answer.status == 403
                assert b"look" in answer.body
            assert refused(ask(server, service="unknown"))
            own_identity.down()
            assert unavailable(ask(server, "unchecked"))


class TestWorkers:
    def test_each_tells_callers_apart(self, own_identity: IdentityServer) -> None:
        options = own_identity.options()
        with Server(options=options, arguments=("--workers", "2")) as server:
            token = own_identity.token("admin")
            with ThreadPoolExecutor(20) as pool:
                answers = list(pool.map(lambda _: ask(server, token), range(100)))
            assert {answer.status for answer in answers} == {200}
            assert 1 <= own_identity.asked[token] <= 2
            assert refused(ask(server))
            eventually(lambda: own_identity.logins == 2, "each worker's login")
            assert server.trouble() == []


class TestTls:
    def serve(self, authority: Authority, address: str = "127.0.0.1", **options: object) -> bool:
        """Tell whether the identity service is believed to be itself."""
        with (
            IdentityServer(tls=authority.server(address)) as identity,
            Server(options=identity.options(**options)) as server,
        ):
            answer = ask(server, identity.token("admin"))
            assert answer.status == 200 or unavailable(answer)
            assert server.trouble() == []
            if answer.status != 200:
                assert "TLS failed" in server.log_text()
                # It was given nothing.
                assert identity.logins == 0
            return answer.status == 200

    def test_authority(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        assert self.serve(authority, cafile=authority.path)

    def test_unknown_authority(self, tmp_path: Path) -> None:
        other = Authority(tmp_path, "other")
        assert not self.serve(Authority(tmp_path), cafile=other.path)
        assert not self.serve(Authority(tmp_path))

    def test_certificate_of_another_host(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        assert not self.serve(authority, "127.0.0.2", cafile=authority.path)

    def test_unchecked(self, tmp_path: Path) -> None:
        assert self.serve(Authority(tmp_path), "127.0.0.2", insecure=True)

    def test_certificate_of_our_own(self, tmp_path: Path) -> None:
        authority = Authority(tmp_path)
        certificate, key = authority.issue("127.0.0.1", "client")
        tls = authority.server(ask_clients=True)
        ours = {"cafile": authority.path, "certfile": certificate, "keyfile": key}
        with IdentityServer(tls=tls) as identity:
            with Server(options=identity.options(**ours)) as server:
                assert ask(server, identity.token("admin")).status == 200
            del ours["certfile"]
            with Server(options=identity.options(**ours)) as server:
                assert unavailable(ask(server, identity.token("admin")))


class TestStart:
    """What a service manager sees of a configuration that cannot be followed."""

    def test_open_flavor_with_keystone_configured(self, identity: IdentityServer) -> None:
        options = identity.options() | {"paste_deploy": {"flavor": "caching"}}
        server = Server(options=options)
        server.configure({"DEFAULT": {"image_cache_dir": server.state / "cache"}})
        with server:
            assert ask(server).status == 200
            assert "NOBODY IS AUTHENTICATED" in server.log_text()

    def test_reachable_from_everywhere_where_callers_are_told_apart(
        self, identity: IdentityServer
    ) -> None:
        with Server(options=identity.options()) as server:
            assert "without authentication" not in server.log_text()
