"""Which service ``glance-cache-manage`` asks, and as whom: from options and environment.

What the command line says wins over the environment, whatever name it has there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

from glance.domain.errors import ConfigError
from glance.identity.credentials import Credentials, check_url, make_credentials
from glance.remote.endpoint import Endpoint, read_endpoint

KEYSTONE, NOAUTH = "keystone", "noauth"

#: Variables by option; of several the first one that is set counts.
_VARIABLES = {
    "os_auth_token": ("OS_AUTH_TOKEN", "OS_TOKEN"),
    "os_auth_strategy": ("OS_AUTH_STRATEGY",),
    "os_auth_url": ("OS_AUTH_URL",),
    "os_username": ("OS_USERNAME", "OS_AUTH_USER"),
    "os_password": ("OS_PASSWORD", "OS_AUTH_KEY"),
    "os_user_domain_id": ("OS_USER_DOMAIN_ID",),
    "os_user_domain_name": ("OS_USER_DOMAIN_NAME",),
    "os_project_id": ("OS_PROJECT_ID",),
    "os_project_name": ("OS_PROJECT_NAME",),
    "os_tenant_id": ("OS_TENANT_ID",),
    "os_tenant_name": ("OS_TENANT_NAME", "OS_AUTH_PROJECT"),
    "os_project_domain_id": ("OS_PROJECT_DOMAIN_ID",),
    "os_project_domain_name": ("OS_PROJECT_DOMAIN_NAME",),
    "os_domain_id": ("OS_DOMAIN_ID",),
    "os_cacert": ("OS_CACERT",),
}

#: Ways to say the same, and what Keystone's login calls them.
_USER_DOMAIN = {"os_user_domain_id": "user_domain_id", "os_user_domain_name": "user_domain_name"}
_PROJECT_DOMAIN = {
    "os_project_domain_id": "project_domain_id",
    "os_project_domain_name": "project_domain_name",
}
_PROJECT = {
    "os_project_id": "project_id",
    "os_tenant_id": "project_id",
    "os_project_name": "project_name",
    "os_tenant_name": "project_name",
}

#: Whatever of this is given means that a login is wanted.
_LOGIN = ("os_auth_url", "os_username", "os_password")


@dataclass(frozen=True, slots=True)
class Access:
    """How to ask the service.

    :param credentials: to log in with, or a token, or none.
    :param authorities: file of the certificates to trust.
    """

    endpoint: Endpoint
    credentials: Credentials | str | None = field(repr=False)
    authorities: str | None
    insecure: bool
    seconds: float


def read_access(arguments: argparse.Namespace, environ: Mapping[str, str]) -> Access:
    """Find out which service is asked, and as whom.

    :raises GlanceError: something is missing, or wrong.
    """
    given = _Given(arguments, environ)
    return Access(
        read_endpoint(arguments.host, arguments.port),
        _credentials(given),
        given.value("os_cacert"),
        arguments.insecure,
        arguments.timeout,
    )


class _Given:
    """What command line and environment say."""

    def __init__(self, arguments: argparse.Namespace, environ: Mapping[str, str]) -> None:
        self._arguments = vars(arguments)
        self._environ = environ

    def typed(self, name: str) -> str | None:
        """Return an option of the command line."""
        return self._arguments[name] or None

    def exported(self, name: str) -> str | None:
        """Return an option of the environment."""
        return next(filter(None, map(self._environ.get, _VARIABLES[name])), None)

    def value(self, name: str) -> str | None:
        """Return an option."""
        return self.typed(name) or self.exported(name)

    def first(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return the first of several options that is set, under its other name."""
        for place in (self.typed, self.exported):
            for name, other in names.items():
                if value := place(name):
                    return {other: value}
        return {}


def _credentials(given: _Given) -> Credentials | str | None:
    strategy = given.value("os_auth_strategy")
    if strategy not in (KEYSTONE, NOAUTH, None):
        raise ConfigError(f"OS_AUTH_STRATEGY is {strategy!r}; it must be {KEYSTONE} or {NOAUTH}.")
    if token := given.typed("os_auth_token"):
        return token
    if strategy == NOAUTH:
        return None
    token = given.exported("os_auth_token")
    # Who types another name or password means to log in.
    if token and not (given.typed("os_username") or given.typed("os_password")):
        return token
    if strategy == KEYSTONE or any(map(given.value, _LOGIN)):
        return _login(given)
    return None


def _login(given: _Given) -> Credentials:
    project = given.first(_PROJECT)
    for name, value in (
        ("username", given.value("os_username")),
        ("password", given.value("os_password")),
        ("auth_url", given.value("os_auth_url")),
        ("project", project),
    ):
        if not value:
            raise ConfigError(f"Missing required credential: {name}")
    url = check_url(given.value("os_auth_url") or "", "OS_AUTH_URL or --os-auth-url")
    if url.endswith(("/v2.0", "/v1.0", "/v1.1")):
        raise ConfigError(
            f"OS_AUTH_URL or --os-auth-url ends in {url[url.rindex('/') :]}, but there is only "
            "version 3 of the Identity API by now."
        )
    options = {
        "auth_type": "v3password",
        "auth_url": url,
        "username": given.value("os_username"),
        "password": given.value("os_password"),
        "default_domain_id": given.value("os_domain_id") or "default",
        **given.first(_USER_DOMAIN),
        **given.first(_PROJECT_DOMAIN),
        **project,
    }
    return make_credentials(options, f"the user {given.value('os_username')!r}")
