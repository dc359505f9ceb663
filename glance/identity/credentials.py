"""The service's own credentials: from options to the body of a login.

Bodies are those of ``POST /v3/auth/tokens`` in the Identity API reference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from glance.domain.errors import ConfigError

_PASSWORD = frozenset({"password", "v3password"})
_APPLICATION = frozenset({"v3applicationcredential"})
_TOKEN = frozenset({"token", "v3token"})

#: Options that say which domain a name belongs to; the first one that is set counts.
_DOMAINS = {
    "user": ("user_domain_id", "user_domain_name", "default_domain_id", "default_domain_name"),
    "project": (
        "project_domain_id",
        "project_domain_name",
        "default_domain_id",
        "default_domain_name",
    ),
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the service logs in with.

    :param auth_url: where; without a slash at its end.
    :param body: of the login; never logged.
    :param source: where they come from, for messages; a section in brackets, say.
    """

    auth_url: str
    body: dict[str, Any] = field(repr=False, compare=False)
    source: str


def read_credentials(conf: Any, section: str) -> Credentials:
    """Read the credentials of a section (:func:`glance.config.options.identity.auth_options`).

    :raises ConfigError: something is missing, or does not go together.
    """
    return make_credentials(conf[section], f"[{section}]")


def make_credentials(
    options: Mapping[str, Any], source: str, *, tokens: bool = False
) -> Credentials:
    """Make credentials of options by their names; one that is not there is not set.

    :param source: where they come from, for messages.
    :param tokens: whether to log in with a token is possible as well; another one cannot be got
        once that has ended.
    :raises ConfigError: something is missing, or does not go together.
    """
    return _Options(options, source).credentials(tokens)


def check_url(url: str, option: str) -> str:
    """Return a URL without slashes at its end.

    :param option: where it stands, for the message.
    :raises ConfigError: it is none of a service.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        good = good and "@" not in parts.netloc and not (parts.query or parts.fragment)
    except ValueError:
        good = False
    if not good or not url.isascii() or not url.isprintable() or set(url) & set(' "\\'):
        # What is wrong may be a password in it, so it is not repeated.
        raise ConfigError(f"{option} must be a URL such as https://host:5000/v3.")
    return url.rstrip("/")


class _Options:
    def __init__(self, options: Mapping[str, Any], source: str) -> None:
        self._options = options
        self._source = source

    def get(self, name: str) -> str | None:
        """Return an option's value; an empty one is none."""
        return self._options.get(name) or None

    def need(self, *names: str) -> str:
        """Return the first value that is set.

        :raises ConfigError: none is.
        """
        for name in names:
            if value := self.get(name):
                return value
        raise ConfigError(
            f"{self._source} {' or '.join(names)} is not set; the service needs it to log in to "
            "the identity service."
        )

    def credentials(self, tokens: bool) -> Credentials:
        url = check_url(self.need("auth_url"), f"{self._source} auth_url")
        kind = self.get("auth_type")
        if kind is None:
            application = self.get("application_credential_secret")
            kind = "v3applicationcredential" if application else "password"
        if kind in _PASSWORD:
            auth = self._password()
        elif kind in _APPLICATION:
            auth = self._application()
        elif tokens and kind in _TOKEN:
            auth = self._scoped({"methods": ["token"], "token": {"id": self.need("token")}})
        else:
            raise ConfigError(
                f"{self._source} auth_type = {kind} is not available; it must be one of password, "
                "v3password and v3applicationcredential."
            )
        return Credentials(url, {"auth": auth}, self._source)

    def _password(self) -> dict[str, Any]:
        user = self._user() | {"password": self.need("password")}
        return self._scoped({"methods": ["password"], "password": {"user": user}})

    def _scoped(self, identity: dict[str, Any]) -> dict[str, Any]:
        auth: dict[str, Any] = {"identity": identity}
        scope = self._scope()
        if scope is not None:
            auth["scope"] = scope
        return auth

    def _application(self) -> dict[str, Any]:
        application: dict[str, Any] = {}
        if credential_id := self.get("application_credential_id"):
            application["id"] = credential_id
        else:
            application["name"] = self.need(
                "application_credential_id", "application_credential_name"
            )
            application["user"] = self._user()
        application["secret"] = self.need("application_credential_secret")
        # It has its scope in itself.
        return {
            "identity": {
                "methods": ["application_credential"],
                "application_credential": application,
            }
        }

    def _user(self) -> dict[str, Any]:
        if user_id := self.get("user_id"):
            return {"id": user_id}
        return {"name": self.need("username", "user_id"), "domain": self._domain("user")}

    def _domain(self, of: str) -> dict[str, str]:
        for name in _DOMAINS[of]:
            if value := self.get(name):
                return {name.rpartition("_")[2]: value}
        raise ConfigError(
            f"{self._source} {' or '.join(_DOMAINS[of][:2])} is not set; a name alone does not "
            f"say which {of} is meant."
        )

    def _scope(self) -> dict[str, Any] | None:
        scopes: dict[str, dict[str, Any]] = {}
        if project_id := self.get("project_id"):
            scopes["project_id"] = {"project": {"id": project_id}}
        elif project := self.get("project_name"):
            scopes["project_name"] = {
                "project": {"name": project, "domain": self._domain("project")}
            }
        if domain_id := self.get("domain_id"):
            scopes["domain_id"] = {"domain": {"id": domain_id}}
        elif domain := self.get("domain_name"):
            scopes["domain_name"] = {"domain": {"name": domain}}
        if system := self.get("system_scope"):
            if system != "all":
                raise ConfigError(f"{self._source} system_scope = {system}: it can only be all.")
            scopes["system_scope"] = {"system": {"all": True}}
        if trust := self.get("trust_id"):
            scopes["trust_id"] = {"OS-TRUST:trust": {"id": trust}}
        if len(scopes) > 1:
            raise ConfigError(
                f"{self._source} {' and '.join(scopes)} exclude each other: the service can act "
                "in one scope only."
            )
        return next(iter(scopes.values()), None)
