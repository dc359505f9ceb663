"""The Identity API v3 as tests need it: who may sign in, what they may do, what they hold."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

DOMAIN = "default"


@dataclass(frozen=True)
class Project:
    """A project, or a domain that acts as one."""

    id: str
    name: str


@dataclass(frozen=True)
class User:
    """A user of the default domain."""

    id: str
    name: str
    password: str


@dataclass(frozen=True)
class ApplicationCredential:
    """Something to sign in with that has the rights of a user, or fewer."""

    id: str
    secret: str


@dataclass(frozen=True)
class Token:
    """A token, and what the identity service said about it when it was issued."""

    id: str
    body: dict[str, Any]

    @property
    def project_id(self) -> str:
        return str(self.body["project"]["id"])

    @property
    def user_id(self) -> str:
        return str(self.body["user"]["id"])

    @property
    def headers(self) -> dict[str, str]:
        """What a request carries."""
        return {"X-Auth-Token": self.id}


@dataclass(frozen=True)
class Login:
    """How to sign in: a user's name and password, and at most one scope.

    :param project: a project's name in the default domain.
    :param domain: a domain's id.
    :param system: ask for the system scope.
    """

    name: str
    password: str
    project: str | None = None
    domain: str | None = None
    system: bool = False

    def document(self) -> dict[str, Any]:
        """Return the body of the request for a token."""
        user = {"name": self.name, "domain": {"id": DOMAIN}, "password": self.password}
        auth: dict[str, Any] = {"identity": {"methods": ["password"], "password": {"user": user}}}
        if self.project is not None:
            auth["scope"] = {"project": {"name": self.project, "domain": {"id": DOMAIN}}}
        elif self.domain is not None:
            auth["scope"] = {"domain": {"id": self.domain}}
        elif self.system:
            auth["scope"] = {"system": {"all": True}}
        return {"auth": auth}

    def authtoken(self, auth_url: str) -> dict[str, str]:
        """Return the options by which a service signs in as this one.

        :param auth_url: of the identity service.
        """
        return {
            "auth_type": "password",
            "auth_url": auth_url,
            "username": self.name,
            "password": self.password,
            "user_domain_id": DOMAIN,
            "project_name": self.project or "",
            "project_domain_id": DOMAIN,
        }

    def environment(self, auth_url: str, region: str) -> dict[str, str]:
        """Return the variables by which a client of the field signs in as this one.

        :param auth_url: of the identity service.
        :param region: where the client looks for endpoints.
        """
        return {
            "OS_AUTH_URL": auth_url,
            "OS_IDENTITY_API_VERSION": "3",
            "OS_USERNAME": self.name,
            "OS_PASSWORD": self.password,
            "OS_USER_DOMAIN_ID": DOMAIN,
            "OS_PROJECT_NAME": self.project or "",
            "OS_PROJECT_DOMAIN_ID": DOMAIN,
            "OS_REGION_NAME": region,
        }


class Refused(Exception):
    """The identity service answered with an error."""

    def __init__(self, target: str, status: int, body: bytes) -> None:
        super().__init__(f"{target}: {status} {body.decode(errors='replace')[:500]}")
        self.status = status


def unique(what: str) -> str:
    """Return a name that no other test has."""
    return f"{what}-{uuid4().hex[:12]}"


class Identity:
    """The API of one identity service.

    :param port: on the loopback.
    :param login: the administrator's.
    """

    def __init__(self, port: int, login: Login) -> None:
        self._port = port
        self._login = login
        self._admin: Token | None = None

    # The wire.

    def send(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[http.client.HTTPResponse, bytes]:
        """Make one request as nobody in particular.

        :param path: below ``/v3``.
        :raises Refused: for an answer that is no success.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            text = None if body is None else json.dumps(body)
            sent = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, f"/v3{path}", text, sent)
            response = connection.getresponse()
            answer = response.read()
        finally:
            connection.close()
        if response.status >= 300:
            raise Refused(f"{method} {path}", response.status, answer)
        return response, answer

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Make one request as the administrator; return the document of the answer, if any.

        :raises Refused: for an answer that is no success.
        """
        if self._admin is None:
            self._admin = self.token(self._login)
        try:
            _, answer = self.send(method, path, body, {**self._admin.headers, **(headers or {})})
        except Refused as error:
            if error.status != 401:
                raise
            # A long session outlives it.
            self._admin = None
            return self.call(method, path, body, headers)
        return json.loads(answer) if answer else None

    # Who there is.

    def domain(self) -> Project:
        """Make a domain."""
        name = unique("domain")
        made = self.call("POST", "/domains", {"domain": {"name": name}})
        return Project(made["domain"]["id"], name)

    def project(self, name: str | None = None, parent: Project | None = None) -> Project:
        """Make a project of the default domain, or return the one that has the name.

        :param name: default: one of its own.
        :param parent: makes it a part of another project.
        """
        if name is not None:
            found = self.call("GET", f"/projects?domain_id={DOMAIN}&name={name}")["projects"]
            if found:
                return Project(found[0]["id"], name)
        fields = {"name": name or unique("project"), "domain_id": DOMAIN}
        if parent is not None:
            fields["parent_id"] = parent.id
        made = self.call("POST", "/projects", {"project": fields})["project"]
        return Project(made["id"], made["name"])

    def user(self, project: Project | None = None, *roles: str, name: str | None = None) -> User:
        """Make a user of the default domain.

        :param project: where the user has the roles; default: nowhere.
        :param roles: by name; default: member.
        :param name: default: one of its own.
        """
        password = uuid4().hex
        fields = {"name": name or unique("user"), "domain_id": DOMAIN, "password": password}
        made = self.call("POST", "/users", {"user": fields})["user"]
        user = User(made["id"], made["name"], password)
        if project is not None:
            for role in roles or ("member",):
                self.assign(user, role, project)
        return user

    def login(self, *roles: str, project: Project | None = None) -> Login:
        """Make a user with roles in a project; return how to sign in there.

        :param roles: by name; default: member.
        :param project: default: one of its own.
        """
        project = project or self.project()
        user = self.user(project, *roles)
        return Login(user.name, user.password, project=project.name)

    def service(self) -> Login:
        """Make a user for a service, with the role ``service`` in the project ``service``."""
        return self.login("service", project=self.project("service"))

    def role(self, name: str) -> str:
        """Return the id of a role, which is made unless it exists."""
        found = self.call("GET", f"/roles?name={name}")["roles"]
        if not found:
            return str(self.call("POST", "/roles", {"role": {"name": name}})["role"]["id"])
        return str(found[0]["id"])

    def assign(
        self,
        user: User,
        role: str,
        project: Project | None = None,
        *,
        domain: str | None = None,
        remove: bool = False,
    ) -> None:
        """Give a user a role in a project, in a domain or else in the system, or take it away.

        :param role: its name.
        :param domain: its id.
        """
        scope = "/system"
        if project is not None:
            scope = f"/projects/{project.id}"
        elif domain is not None:
            scope = f"/domains/{domain}"
        path = f"{scope}/users/{user.id}/roles/{self.role(role)}"
        self.call("DELETE" if remove else "PUT", path)

    def change_user(self, user: User, **fields: Any) -> None:
        """Change a user: ``enabled=False``, ``password="…"``."""
        self.call("PATCH", f"/users/{user.id}", {"user": fields})

    def change_project(self, project: Project, **fields: Any) -> None:
        """Change a project: ``enabled=False``."""
        self.call("PATCH", f"/projects/{project.id}", {"project": fields})

    # What they hold.

    def token(self, login: Login, *, lifetime: int | None = None) -> Token:
        """Sign in.

        :param lifetime: seconds; 0: it has ended when it is issued. Default: an hour.
        :raises Refused: for wrong credentials.
        """
        return self._token(login.document(), lifetime)

    def application_credential(
        self,
        login: Login,
        *,
        roles: Iterable[str] | None = None,
        access_rules: Sequence[Mapping[str, str]] | None = None,
        unrestricted: bool = False,
        expires_at: str | None = None,
    ) -> ApplicationCredential:
        """Make an application credential for one who signs in to a project.

        :param roles: by name; default: all that the user has there.
        :param access_rules: each of ``service``, ``method`` and ``path``; default: all is allowed.
        :param expires_at: ISO 8601 in UTC, without zone.
        """
        fields: dict[str, Any] = {"name": unique("credential"), "unrestricted": unrestricted}
        if roles is not None:
            fields["roles"] = [{"name": name} for name in roles]
        if access_rules is not None:
            fields["access_rules"] = [dict(rule) for rule in access_rules]
        if expires_at is not None:
            fields["expires_at"] = expires_at
        token = self.token(login)
        path = f"/users/{token.user_id}/application_credentials"
        _, answer = self.send("POST", path, {"application_credential": fields}, token.headers)
        made = json.loads(answer)["application_credential"]
        return ApplicationCredential(made["id"], made["secret"])

    def application_token(
        self, credential: ApplicationCredential, *, lifetime: int | None = None
    ) -> Token:
        """Sign in with an application credential; see :meth:`token`."""
        method = "application_credential"
        fields = {"id": credential.id, "secret": credential.secret}
        return self._token({"auth": {"identity": {"methods": [method], method: fields}}}, lifetime)

    def _token(self, document: dict[str, Any], lifetime: int | None) -> Token:
        headers = {} if lifetime is None else {"X-Token-Lifetime": str(lifetime)}
        response, answer = self.send("POST", "/auth/tokens", document, headers)
        return Token(response.headers["X-Subject-Token"], json.loads(answer)["token"])

    def validate(self, token: Token, *, allow_expired: bool = False) -> dict[str, Any] | None:
        """Return what the identity service says of a token, or None when it is not valid."""
        query = "?allow_expired=1" if allow_expired else ""
        try:
            answer = self.call("GET", f"/auth/tokens{query}", None, {"X-Subject-Token": token.id})
        except Refused as error:
            if error.status == 404:
                return None
            raise
        return dict(answer["token"])

    def revoke(self, token: Token) -> None:
        """End a token before its time."""
        self.call("DELETE", "/auth/tokens", None, {"X-Subject-Token": token.id})

    # The catalogue and limits.

    def region(self, name: str | None = None) -> str:
        """Make a region unless it exists; return its name.

        :param name: default: one of its own.
        """
        name = name or unique("region")
        try:
            self.call("PUT", f"/regions/{name}", {"region": {}})
        except Refused as error:
            if error.status != 409:
                raise
        return name

    def offer(self, kind: str) -> str:
        """Return the id of the service of a kind, which is entered unless it is there.

        :param kind: ``image``, ``identity``, …
        """
        found = self.call("GET", f"/services?type={kind}")["services"]
        if not found:
            fields = {"type": kind, "name": kind}
            found = [self.call("POST", "/services", {"service": fields})["service"]]
        return str(found[0]["id"])

    def endpoint(
        self,
        kind: str,
        url: str,
        region: str,
        interfaces: Iterable[str] = ("public", "internal", "admin"),
    ) -> dict[str, str]:
        """Enter where a service is in a region, in place of what was there.

        :param kind: of the service: ``image``, ``identity``, …
        :returns: the id of the endpoint of each interface.
        """
        service = self.offer(kind)
        self.region(region)
        there = self.call("GET", f"/endpoints?service_id={service}&region_id={region}")
        for old in there["endpoints"]:
            self.call("DELETE", f"/endpoints/{old['id']}")
        made = {}
        for interface in interfaces:
            fields = {"service_id": service, "region_id": region}
            fields |= {"interface": interface, "url": url}
            answer = self.call("POST", "/endpoints", {"endpoint": fields})
            made[interface] = str(answer["endpoint"]["id"])
        return made

    def registered_limit(self, name: str, default: int, region: str, kind: str = "image") -> str:
        """Set what projects get of a resource that have no limit of their own; return its id.

        It can be changed as long as no project has a limit of its own.

        :param name: of the resource: ``image_count_total``, ``image_size_total``, …
        :param region: one that exists.
        """
        service = self.offer(kind)
        query = f"service_id={service}&region_id={region}&resource_name={name}"
        found = self.call("GET", f"/registered_limits?{query}")["registered_limits"]
        if found:
            change = {"registered_limit": {"default_limit": default}}
            self.call("PATCH", f"/registered_limits/{found[0]['id']}", change)
            return str(found[0]["id"])
        fields = {"service_id": service, "region_id": region, "resource_name": name}
        document = {"registered_limits": [{**fields, "default_limit": default}]}
        made = self.call("POST", "/registered_limits", document)
        return str(made["registered_limits"][0]["id"])

    def limit(
        self, project: Project, name: str, value: int, region: str, kind: str = "image"
    ) -> str:
        """Set what a project gets of a resource that has a registered limit; return its id."""
        service = self.offer(kind)
        query = f"service_id={service}&region_id={region}&resource_name={name}"
        found = self.call("GET", f"/limits?{query}&project_id={project.id}")["limits"]
        if found:
            change = {"limit": {"resource_limit": value}}
            self.call("PATCH", f"/limits/{found[0]['id']}", change)
            return str(found[0]["id"])
        fields = {"service_id": service, "region_id": region, "project_id": project.id}
        document = {"limits": [{**fields, "resource_name": name, "resource_limit": value}]}
        made = self.call("POST", "/limits", document)
        return str(made["limits"][0]["id"])
