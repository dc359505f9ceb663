"""As whom a service is asked, from options and from the variables of OpenStack's clients.

What is given in several places counts where it stands nearest: what is typed, then variables with a
prefix such as ``SOURCE_``, then those without.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from glance.domain.errors import ConfigError, Invalid
from glance.identity.credentials import Credentials, check_url, make_credentials
from glance.remote.endpoint import read_endpoint
from glance.remote.service import Trust
from glance.remote.side import Side

KEYSTONE, NOAUTH = "keystone", "noauth"

#: Variables by option; of several the first one that is set counts.
VARIABLES = {
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

#: More of them, which say all that there is to say of a side.
SIDE_VARIABLES = VARIABLES | {
    "os_user_id": ("OS_USER_ID",),
    "os_application_credential_id": ("OS_APPLICATION_CREDENTIAL_ID",),
    "os_application_credential_name": ("OS_APPLICATION_CREDENTIAL_NAME",),
    "os_application_credential_secret": ("OS_APPLICATION_CREDENTIAL_SECRET",),
    "os_interface": ("OS_INTERFACE", "OS_ENDPOINT_TYPE"),
    "os_region_name": ("OS_REGION_NAME",),
    "os_image_endpoint_override": ("OS_IMAGE_ENDPOINT_OVERRIDE", "OS_IMAGE_URL"),
    "os_insecure": ("OS_INSECURE",),
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
_USER = {"os_user_id": "user_id", "os_username": "username"}
_APPLICATION = {
    "os_application_credential_id": "application_credential_id",
    "os_application_credential_name": "application_credential_name",
}
_SECRET = "os_application_credential_secret"

#: Whatever of this is given means that a login is wanted.
_LOGIN = ("os_auth_url", "os_username", "os_password", _SECRET)
#: Whatever of this is nearer than a token means that the token is not.
_NEARER = ("os_username", "os_user_id", "os_password", _SECRET)

_TRUE = ("1", "true", "yes", "on")


class Given:
    """What command line and environment say.

    :param typed: options of the command line by their names; empty ones are not given.
    :param prefixes: of variables, the nearest one first.
    :param variables: by option.
    :param url_name: what to call ``os_auth_url`` in messages.
    """

    def __init__(
        self,
        typed: Mapping[str, Any],
        environ: Mapping[str, str],
        *,
        prefixes: Sequence[str] = ("",),
        variables: Mapping[str, Sequence[str]] = VARIABLES,
        url_name: str = "OS_AUTH_URL",
    ) -> None:
        self.url_name = url_name
        self._typed = typed
        self._environ = environ
        self._variables = variables
        #: Where options may be given, the nearest place first.
        self.places: list[Callable[[str], str | None]] = [
            self.typed,
            *(partial(self._exported, prefix) for prefix in prefixes),
        ]

    def typed(self, name: str) -> str | None:
        """Return an option of the command line."""
        return self._typed.get(name) or None

    def value(self, name: str) -> str | None:
        """Return an option."""
        return next(filter(None, (place(name) for place in self.places)), None)

    def first(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return the first of several options that is set, under its other name."""
        for place in self.places:
            for name, other in names.items():
                if value := place(name):
                    return {other: value}
        return {}

    def _exported(self, prefix: str, name: str) -> str | None:
        variables = self._variables.get(name, ())
        return next(filter(None, (self._environ.get(prefix + one) for one in variables)), None)


def read_credentials(given: Given) -> Credentials | str | None:
    """Return what to log in with, or a token, or ``None`` if there is to be none.

    :raises ConfigError: something is missing, or wrong.
    """
    strategy = given.value("os_auth_strategy")
    if strategy not in (KEYSTONE, NOAUTH, None):
        raise ConfigError(f"OS_AUTH_STRATEGY is {strategy!r}; it must be {KEYSTONE} or {NOAUTH}.")
    if token := given.typed("os_auth_token"):
        return token
    if strategy == NOAUTH:
        return None
    for place in given.places:
        if token := place("os_auth_token"):
            return token
        # Who gives another name or password nearer than a token means to log in.
        if any(map(place, _NEARER)):
            break
    if strategy == KEYSTONE or any(map(given.value, _LOGIN)):
        return _login(given)
    return None


def read_side(environ: Mapping[str, str], name: str, prefix: str) -> Side:
    """Read from variables where a side is, and how to log in to it.

    :param name: of the side, for messages.
    :param prefix: of variables that count for this side alone, such as ``SOURCE_``; what they do
        not say is taken from those without it.
    :raises ConfigError: something is missing, or wrong.
    """
    given = Given(
        {},
        environ,
        prefixes=(prefix, ""),
        variables=SIDE_VARIABLES,
        url_name=f"{prefix}OS_AUTH_URL or OS_AUTH_URL",
    )
    override = given.value("os_image_endpoint_override")
    try:
        endpoint = read_endpoint(override) if override else None
    except Invalid as error:
        raise ConfigError(f"{prefix}OS_IMAGE_ENDPOINT_OVERRIDE: {error.message}") from None
    try:
        credentials = read_credentials(given)
    except ConfigError as error:
        raise ConfigError(f"Variables {prefix}OS_... and OS_...: {error.message}") from None
    authorities = (f"{prefix}OS_CACERT or OS_CACERT", given.value("os_cacert"))
    insecure = (given.value("os_insecure") or "").lower() in _TRUE
    return Side(
        name,
        endpoint,
        credentials,
        interface=(given.value("os_interface") or "public").removesuffix("URL"),
        region=given.value("os_region_name"),
        trust=Trust(authorities, insecure),
    )


def _login(given: Given) -> Credentials:
    if secret := given.value(_SECRET):
        return _application_login(given, secret)
    user, project = given.first(_USER), given.first(_PROJECT)
    for name, value in (
        ("username", user),
        ("password", given.value("os_password")),
        ("auth_url", given.value("os_auth_url")),
        ("project", project),
    ):
        if not value:
            raise ConfigError(f"Missing required credential: {name}")
    options = {
        "auth_type": "v3password",
        "auth_url": _url(given),
        "password": given.value("os_password"),
        "default_domain_id": given.value("os_domain_id") or "default",
        **user,
        **given.first(_USER_DOMAIN),
        **given.first(_PROJECT_DOMAIN),
        **project,
    }
    return make_credentials(options, f"the user {next(iter(user.values()))!r}")


def _application_login(given: Given, secret: str) -> Credentials:
    if not given.value("os_auth_url"):
        raise ConfigError("Missing required credential: auth_url")
    options = {
        "auth_type": "v3applicationcredential",
        "auth_url": _url(given),
        "application_credential_secret": secret,
        "default_domain_id": given.value("os_domain_id") or "default",
        **given.first(_USER),
        **given.first(_USER_DOMAIN),
        **given.first(_APPLICATION),
    }
    return make_credentials(options, "the application credential")


def _url(given: Given) -> str:
    url = check_url(given.value("os_auth_url") or "", given.url_name)
    if url.endswith(("/v2.0", "/v1.0", "/v1.1")):
        raise ConfigError(
            f"{given.url_name} ends in {url[url.rindex('/') :]}, but there is only version 3 of "
            "the Identity API by now."
        )
    return url
