"""A live ``glance-api`` that tells callers apart by the tokens of a real Keystone."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.functional.server import Answer, Server, eventually
from tests.functional.wire import Wire
from tests.services.identity import DOMAIN, Identity, Login, Token
from tests.services.keystone import Keystone
from tests.services.memcached import Memcached

pytestmark = pytest.mark.service

LIST = "/v2/images"


def options(login: Login, keystone: Keystone, **more: object) -> dict[str, dict[str, object]]:
    """Return the image service's options by group."""
    return {
        "paste_deploy": {"flavor": "keystone"},
        "keystone_authtoken": {
            **login.authtoken(keystone.url),
            "http_request_max_retries": 1,
            **more,
        },
    }


@pytest.fixture(scope="module")
def service(keystone: Keystone) -> Login:
    return keystone.identity.service()


@pytest.fixture(scope="module")
def admin(keystone: Keystone) -> Login:
    """An administrator, who gets a new token for each test."""
    return keystone.identity.login("admin")


@pytest.fixture(scope="module")
def shared_server(keystone: Keystone, service: Login) -> Iterator[Server]:
    settings = {"debug": True}
    with Server(options=options(service, keystone), settings=settings) as server:
        yield server
        assert server.trouble() == []
        # Fernet tokens all begin so.
        assert "gAAAAA" not in server.log_text()
        assert service.password not in server.log_text()


@pytest.fixture
def served(shared_server: Server) -> Server:
    return shared_server


@pytest.fixture
def identity(keystone: Keystone) -> Identity:
    return keystone.identity


def ask(
    server: Server,
    token: Token | None,
    method: str = "GET",
    path: str = LIST,
    service: Token | None = None,
    body: Any = None,
) -> Answer:
    headers: Mapping[str, str] = {} if token is None else token.headers
    if service is not None:
        headers = {**headers, "X-Service-Token": service.id}
    return server.request(method, path, body, headers)


def known(answer: Answer) -> bool:
    """Whether the service knows who asked, whatever that one may do."""
    assert answer.status in (200, 401, 403, 503), answer
    return answer.status in (200, 403)


def refused(answer: Answer) -> bool:
    return answer.status == 401 and answer.headers["WWW-Authenticate"].startswith("Keystone uri=")


def unavailable(answer: Answer) -> bool:
    return answer.status == 503 and int(answer.headers["Retry-After"]) > 0


class TestTokens:
    def test_administrator_s_images_are_its_project_s(
        self, identity: Identity, served: Server, admin: Login
    ) -> None:
        token = identity.token(admin)
        made = ask(served, token, "POST", body={"name": "x"})
        assert made.status == 201
        assert made.json["owner"] == token.project_id

    def test_other_roles(self, identity: Identity, served: Server) -> None:
        for role in ("member", "reader"):
            token = identity.token(identity.login(role))
            assert known(ask(served, token))
            # What only an administrator may do: make an image of somebody else's.
            body = {"name": "x", "owner": "elsewhere"}
            assert ask(served, token, "POST", body=body).status == 403

    def test_nobody(self, keystone: Keystone, served: Server) -> None:
        answer = ask(served, None)
        assert refused(answer)
        assert answer.headers["WWW-Authenticate"] == f'Keystone uri="{keystone.url}"'
        assert refused(ask(served, Token("gAAAAABnonsense", {})))
        assert refused(ask(served, Token("x" * 5000, {})))

    def test_token_that_has_ended(self, identity: Identity, served: Server, admin: Login) -> None:
        assert refused(ask(served, identity.token(admin, lifetime=0)))

    def test_token_that_ends(self, identity: Identity, served: Server, admin: Login) -> None:
        token = identity.token(admin, lifetime=2)
        answer = ask(served, token)
        assert known(answer) or refused(answer)
        eventually(lambda: refused(ask(served, token)), "the token's end")

    def test_token_is_asked_about_once(
        self, keystone: Keystone, identity: Identity, served: Server, admin: Login
    ) -> None:
        token = identity.token(admin)
        before = len(keystone.requests("GET /v3/auth/tokens"))
        for _ in range(5):
            assert ask(served, token).status == 200
        assert len(keystone.requests("GET /v3/auth/tokens")) == before + 1

    def test_revoked_token(self, keystone: Keystone, service: Login, admin: Login) -> None:
        identity = keystone.identity
        with Server(options=options(service, keystone, token_cache_time=1)) as server:
            token = identity.token(admin)
            assert ask(server, token).status == 200
            identity.revoke(token)
            eventually(lambda: refused(ask(server, token)), "the revocation to show")

    def test_without_a_cache_all_shows_at_once(self, keystone: Keystone, service: Login) -> None:
        identity = keystone.identity
        with Server(options=options(service, keystone, token_cache_time=-1)) as server:
            project = identity.project()
            user = identity.user(project, "admin")
            login = Login(user.name, user.password, project=project.name)
            token = identity.token(login)
            assert ask(server, token).status == 200
            identity.assign(user, "admin", project, remove=True)
            identity.assign(user, "reader", project)
            token = identity.token(login)
            body = {"name": "x", "owner": "elsewhere"}
            assert ask(server, token, "POST", body=body).status == 403
            identity.change_user(user, enabled=False)
            assert refused(ask(server, token))

    def test_catalogue_can_be_left_away(
        self, keystone: Keystone, service: Login, admin: Login
    ) -> None:
        more = options(service, keystone, include_service_catalog=False)
        with Server(options=more) as server:
            token = keystone.identity.token(admin)
            assert ask(server, token).status == 200


class TestScopes:
    def test_of_the_system(self, identity: Identity, served: Server) -> None:
        user = identity.user()
        identity.assign(user, "admin")
        token = identity.token(Login(user.name, user.password, system=True))
        assert known(ask(served, token))

    def test_of_a_domain(self, identity: Identity, served: Server) -> None:
        user, domain = identity.user(), identity.domain()
        identity.assign(user, "reader", domain=domain.id)
        token = identity.token(Login(user.name, user.password, domain=domain.id))
        assert known(ask(served, token))
        assert f"{user.id} - {domain.id}" in served.log_text()

    def test_none(self, identity: Identity, served: Server) -> None:
        user = identity.user()
        token = identity.token(Login(user.name, user.password))
        assert known(ask(served, token))
        assert ask(served, token, "POST", body={"name": "x"}).status == 403


class TestServiceTokens:
    def test_user_s_token_may_have_ended(
        self, identity: Identity, served: Server, admin: Login
    ) -> None:
        ended = identity.token(admin, lifetime=0)
        service = identity.token(identity.service())
        assert refused(ask(served, ended))
        assert ask(served, ended, service=service).status == 200
        assert refused(ask(served, ended))

    def test_but_not_revoked(self, identity: Identity, served: Server, admin: Login) -> None:
        token, service = identity.token(admin), identity.token(identity.service())
        identity.revoke(token)
        assert refused(ask(served, token, service=service))

    def test_invalid_ones(self, identity: Identity, served: Server, admin: Login) -> None:
        token = identity.token(admin)
        assert ask(served, token).status == 200
        assert refused(ask(served, token, service=Token("gAAAAABnonsense", {})))
        ended = identity.token(identity.service(), lifetime=0)
        assert refused(ask(served, token, service=ended))
        assert refused(ask(served, token, service=identity.token(admin)))

    def test_role_may_be_optional(self, keystone: Keystone, service: Login, admin: Login) -> None:
        identity = keystone.identity
        more = options(service, keystone, service_token_roles_required=False)
        with Server(options=more) as server:
            other = identity.token(identity.login("member"))
            token = identity.token(admin)
            assert ask(server, token, service=other).status == 200
            ended = identity.token(admin, lifetime=0)
            assert refused(ask(server, ended, service=other))


class TestApplicationCredentials:
    RULES = (
        {"service": "image", "method": "GET", "path": LIST},
        {"service": "image", "method": "GET", "path": "/v2/images/*"},
        {"service": "compute", "method": "POST", "path": "/v2/images"},
    )

    def test_without_rules(self, identity: Identity, served: Server) -> None:
        login = identity.login("admin")
        token = identity.application_token(identity.application_credential(login))
        assert ask(served, token).status == 200
        assert ask(served, token, "POST", body={"name": "x"}).status == 201

    def test_of_fewer_roles(self, identity: Identity, served: Server) -> None:
        login = identity.login("admin", "reader")
        credential = identity.application_credential(login, roles=["reader"])
        token = identity.application_token(credential)
        body = {"name": "x", "owner": "elsewhere"}
        assert ask(served, token, "POST", body=body).status == 403

    def test_access_rules(self, identity: Identity, served: Server) -> None:
        credential = identity.application_credential(
            identity.login("admin"), access_rules=self.RULES
        )
        token = identity.application_token(credential)
        assert ask(served, token).status == 200
        assert ask(served, token, path="/v2.5/images").status == 200
        assert ask(served, token, path=f"{LIST}/unknown").status == 404
        assert refused(ask(served, token, "POST", body={"name": "x"}))
        assert refused(ask(served, token, path=f"{LIST}/unknown/file"))
        assert refused(ask(served, token, path=f"{LIST}/unknown%2Ffile"))
        assert refused(ask(served, token, path="/v2/schemas/image"))
        service = identity.token(identity.service())
        assert ask(served, token, path="/v2/schemas/image", service=service).status == 200

    def test_service_itself_signs_in_with_one(self, keystone: Keystone, admin: Login) -> None:
        identity = keystone.identity
        credential = identity.application_credential(identity.service())
        ours = {
            "auth_type": "v3applicationcredential",
            "auth_url": keystone.url,
            "application_credential_id": credential.id,
            "application_credential_secret": credential.secret,
        }
        chosen = {"paste_deploy": {"flavor": "keystone"}, "keystone_authtoken": ours}
        with Server(options=chosen) as server:
            assert ask(server, identity.token(admin)).status == 200


class TestOurOwnCredentials:
    @pytest.mark.parametrize("path", ["/", "/v3"])
    def test_forms_of_the_url(
        self, keystone: Keystone, service: Login, path: str, admin: Login
    ) -> None:
        identity = keystone.identity
        chosen = options(service, keystone, auth_url=keystone.url + path)
        with Server(options=chosen) as server:
            assert ask(server, identity.token(admin)).status == 200

    def test_scope_of_the_system(self, keystone: Keystone, admin: Login) -> None:
        identity = keystone.identity
        user = identity.user()
        identity.assign(user, "reader")
        login = Login(user.name, user.password, system=True)
        chosen = options(login, keystone, project_name="", system_scope="all")
        with Server(options=chosen) as server:
            assert ask(server, identity.token(admin)).status == 200

    def test_names_of_domains(self, keystone: Keystone, service: Login, admin: Login) -> None:
        identity = keystone.identity
        names = {"user_domain_id": "", "project_domain_id": "", "default_domain_name": "Default"}
        assert DOMAIN == "default"
        with Server(options=options(service, keystone, **names)) as server:
            assert ask(server, identity.token(admin)).status == 200

    def test_password_that_is_wrong(self, keystone: Keystone, service: Login, admin: Login) -> None:
        identity = keystone.identity
        before = len(keystone.requests("POST /v3/auth/tokens 401"))
        with Server(options=options(service, keystone, password="wrong")) as server:
            token = identity.token(admin)
            for _ in range(3):
                assert unavailable(ask(server, token))
        assert len(keystone.requests("POST /v3/auth/tokens 401")) == before + 1

    def test_user_that_may_not_ask(self, keystone: Keystone, admin: Login) -> None:
        identity = keystone.identity
        with Server(options=options(identity.login("member"), keystone)) as server:
            assert unavailable(ask(server, identity.token(admin)))
            assert "needs the role admin or service" in server.log_text()

    def test_regions(self, keystone: Keystone, service: Login, admin: Login) -> None:
        """The catalogue decides where tokens are asked about, once we are signed in."""
        identity = keystone.identity
        region = identity.region()
        identity.endpoint("identity", "http://127.0.0.1:1", region)
        token = identity.token(admin)
        with Server(options=options(service, keystone, region_name=region)) as server:
            assert unavailable(ask(server, token))
            assert "http://127.0.0.1:1/" in server.log_text()
        # One that has none is asked where we signed in.
        with Server(options=options(service, keystone, region_name=identity.region())) as server:
            assert ask(server, token).status == 200


class TestOutages:
    def test_stopped_frozen_and_back(self, own_keystone: Keystone) -> None:
        identity = own_keystone.identity
        more = options(identity.service(), own_keystone, http_connect_timeout=3)
        with Server(options=more) as server:
            login = identity.login("admin")
            remembered, second, third = (identity.token(login) for _ in range(3))
            # A busy machine may take longer than the time limit, which is to be short here.
            eventually(lambda: ask(server, remembered).status == 200, "the first verdict")
            own_keystone.stop()
            assert unavailable(ask(server, second))
            assert ask(server, remembered).status == 200
            own_keystone.start()
            eventually(lambda: ask(server, second).status == 200, "Keystone's return")
            own_keystone.freeze()
            assert unavailable(ask(server, third))
            assert ask(server, remembered).status == 200
            own_keystone.thaw()
            eventually(lambda: ask(server, third).status == 200, "Keystone's return")
            assert server.trouble() == []

    def test_our_token_is_revoked(self, own_keystone: Keystone) -> None:
        identity = own_keystone.identity
        admin, ours = identity.login("admin"), identity.service()
        with Server(options=options(ours, own_keystone)) as server:
            assert ask(server, identity.token(admin)).status == 200
            # Ends all tokens of the user; the password stays what it was.
            user = identity.token(ours).user_id
            for enabled in (False, True):
                identity.call("PATCH", f"/users/{user}", {"user": {"enabled": enabled}})
            token = identity.token(admin)
            before = len(own_keystone.requests("POST /v3/auth/tokens 201"))
            # What is issued in the second of a revocation is revoked too.
            eventually(lambda: ask(server, token).status == 200, "a token that is good")
            assert len(own_keystone.requests("POST /v3/auth/tokens 201")) > before


class TestMemcached:
    def test_processes_share_what_they_know(
        self, keystone: Keystone, service: Login, own_memcached: Memcached, admin: Login
    ) -> None:
        identity = keystone.identity
        chosen = options(service, keystone, memcached_servers=own_memcached.address)
        token = identity.token(admin)
        with Server(options=chosen) as first, Server(options=chosen) as second:
            assert ask(first, token).status == 200
            before = len(keystone.requests("GET /v3/auth/tokens"))
            # It is put there without anybody waiting for that.
            eventually(lambda: only_item(own_memcached), "what is kept")
            assert ask(second, token).status == 200
            assert ask(second, token, "POST", body={"name": "x"}).json["owner"] == token.project_id
            assert len(keystone.requests("GET /v3/auth/tokens")) == before

    @pytest.mark.parametrize("strategy", ["None", "MAC", "ENCRYPT"])
    def test_what_lies_there(
        self,
        keystone: Keystone,
        service: Login,
        own_memcached: Memcached,
        strategy: str,
        admin: Login,
    ) -> None:
        identity = keystone.identity
        chosen = options(
            service,
            keystone,
            memcached_servers=own_memcached.address,
            memcache_security_strategy=strategy,
            memcache_secret_key="secret",
        )
        token = identity.token(admin)
        with Server(options=chosen) as first, Server(options=chosen) as second:
            assert ask(first, token).status == 200
            key, value = eventually(lambda: only_item(own_memcached), "what is kept")
            assert token.id not in key + value
            assert (token.user_id in value) == (strategy != "ENCRYPT")
            # Somebody else writes there.
            forged = value.replace(token.project_id, "f" * len(token.project_id))
            if strategy == "ENCRYPT":
                forged = value[:-1] + chr(ord(value[-1]) ^ 1)
            assert forged != value
            store(own_memcached, key, forged)
            answer = ask(second, token, "POST", body={"name": "x"})
            assert answer.status == 201
            believed = answer.json["owner"] != token.project_id
            assert believed == (strategy == "None")
            assert second.trouble() == []

    def test_away(
        self, keystone: Keystone, service: Login, own_memcached: Memcached, admin: Login
    ) -> None:
        identity = keystone.identity
        chosen = options(
            service,
            keystone,
            memcached_servers=own_memcached.address,
            memcache_pool_socket_timeout=1,
            memcache_pool_dead_retry=1,
        )
        with Server(options=chosen) as server:
            assert ask(server, identity.token(admin)).status == 200
            own_memcached.freeze()
            assert ask(server, identity.token(admin)).status == 200
            own_memcached.thaw()
            own_memcached.stop()
            for _ in range(3):
                assert ask(server, identity.token(admin)).status == 200
            own_memcached.start()

            def kept_again() -> bool:
                assert ask(server, identity.token(admin)).status == 200
                return only_item(own_memcached) is not None

            eventually(kept_again, "memcached to be used again")
            assert "is left alone for 1 s" in server.log_text()
            assert server.trouble() == []

    def test_several_of_which_one_is_away(
        self, keystone: Keystone, service: Login, memcached: Memcached, admin: Login
    ) -> None:
        identity = keystone.identity
        servers = f"{memcached.address},127.0.0.1:1"
        with Server(options=options(service, keystone, memcached_servers=servers)) as server:
            for _ in range(5):
                assert ask(server, identity.token(admin)).status == 200
            assert server.trouble() == []

    def test_it_is_emptied(
        self, keystone: Keystone, service: Login, own_memcached: Memcached, admin: Login
    ) -> None:
        identity = keystone.identity
        chosen = options(service, keystone, memcached_servers=own_memcached.address)
        token = identity.token(admin)
        with Server(options=chosen) as first, Server(options=chosen) as second:
            assert ask(first, token).status == 200
            own_memcached.ask("flush_all")
            assert ask(second, token).status == 200
            assert ask(first, token).status == 200


def only_item(memcached: Memcached) -> tuple[str, str] | None:
    """Return name and value of something in memcached, if there is anything."""
    for line in memcached.ask("stats items"):
        slab = line.split(":")[1]
        for item in memcached.ask(f"stats cachedump {slab} 1"):
            key = item.split()[1]
            lines = memcached.ask(f"get {key}")
            return (key, "\r\n".join(lines[1:])) if lines else None
    return None


def store(memcached: Memcached, key: str, value: str) -> None:
    data = value.encode("latin-1")
    with socket.create_connection(("127.0.0.1", memcached.port), timeout=5) as connection:
        connection.sendall(f"set {key} 0 300 {len(data)}\r\n".encode() + data + b"\r\n")
        assert connection.recv(100) == b"STORED\r\n"


def test_upload_waits_for_the_verdict(keystone: Keystone, served: Server, admin: Login) -> None:
    identity = keystone.identity
    made = ask(
        served,
        identity.token(admin),
        "POST",
        body={"name": "x", "disk_format": "raw", "container_format": "bare"},
    )
    data = b"x" * 3_000_000
    token = identity.token(admin)
    with Wire(served) as wire:
        wire.put(made.json["id"], f"Content-Length: {len(data)}", f"X-Auth-Token: {token.id}")
        wire.send(data)
        assert wire.answer().status == 204
    with Wire(served) as wire:
        wire.put(made.json["id"], f"Content-Length: {len(data)}", "X-Auth-Token: nonsense")
        assert wire.answer().status == 401
