"""A side of which a file clouds.yaml tells, as OpenStack's own clients read it.

openstacksdk finds the file, merges what vendors and secure.yaml say, and knows all ways to spell
things. It logs in nowhere here.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from glance.domain.errors import ConfigError, Invalid
from glance.identity.credentials import Credentials, make_credentials
from glance.remote.endpoint import Endpoint, read_endpoint
from glance.remote.service import Trust
from glance.remote.side import IMAGE, Side

#: Ways to log in that ours can, besides those of :func:`make_credentials`.
_NONE, _ADMIN_TOKEN = "none", "admin_token"
_TOKENS = frozenset({"token", "v3token"})
_LOGINS = frozenset({"password", "v3password", "v3applicationcredential"}) | _TOKENS

#: What the library leaves beside ``auth`` as long as it does not log in itself: what variables say,
#: and what stands there in a file.
_BESIDE_AUTH = (
    "auth_url",
    "username",
    "user_id",
    "password",
    "token",
    "application_credential_id",
    "application_credential_name",
    "application_credential_secret",
    "system_scope",
    "trust_id",
)


def thd_read_cloud(
    cloud: str, region: str | None = None, files: Sequence[str] | None = None
) -> Side:
    """Read where a cloud's image service is, and how to log in to it.

    It reads files, and may fetch one that a vendor publishes.

    :param cloud: its name; ``envvars`` means the one of the variables ``OS_…``.
    :param region: one of several that the cloud has; ``None`` for its first.
    :param files: to read; ``None`` for those of the usual places.
    :raises ConfigError: there is none of that name, or something is missing or wrong.
    """
    where = f"clouds.yaml, cloud {cloud!r}:"
    found = _thd_load(cloud, region, files, where)
    with _listening([]):
        verify, certificate = found.get_requests_verify_args()
    authorities = verify if isinstance(verify, str) else None
    endpoint = _endpoint(found.get_endpoint(IMAGE), where)
    interface = found.get_interface(IMAGE)
    if not isinstance(interface, str):
        # A list, by preference.
        interface = next(filter(None, interface or ()), "public")
    return Side(
        f"the cloud {cloud}",
        endpoint,
        _credentials(found.config, endpoint, where),
        interface=interface.removesuffix("URL"),
        region=found.get_region_name(IMAGE) or None,
        trust=_trust(where, authorities, certificate, not verify),
    )


def _thd_load(cloud: str, region: str | None, files: Sequence[str] | None, where: str) -> Any:
    try:
        from openstack.config import OpenStackConfig
        from openstack.exceptions import ConfigException
    except ImportError:
        raise ConfigError(
            "clouds.yaml is read with openstacksdk, which is not installed: "
            "pip install 'txglance[clouds]'."
        ) from None
    given: dict[str, Any] = {"region_name": region} if region else {}
    skipped: list[str] = []
    try:
        with _listening(skipped):
            config = OpenStackConfig(config_files=None if files is None else list(files))
            known = config.get_cloud_names()
            if cloud in known:
                return config.get_one(cloud, validate=False, **given)
    except ConfigException as error:
        raise ConfigError(f"{where} {error}") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"{where} it cannot be read ({type(error).__name__}).") from None
    raise ConfigError(" ".join([_unknown(cloud, known), *skipped]))


def _unknown(cloud: str, known: Sequence[str]) -> str:
    # The library makes up one of that name where there is none at all.
    names = ", ".join(sorted({*known} - {"defaults"})) or "none"
    return f"No cloud {cloud!r} is in clouds.yaml; there are: {names}."


@contextmanager
def _listening(skipped: list[str]) -> Iterator[None]:
    """Keep what the library logs and warns of from others.

    :param skipped: is told what files it cannot read; why could show what stands in them.
    """

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if (text := record.getMessage()).startswith("Skipping"):
                skipped.append(f"{text.partition(':')[0]}: it is not as it should be.")

    logger, keeper = logging.getLogger("openstack"), Keeper()
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(keeper)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.removeHandler(keeper)
        logger.propagate = propagated


def _endpoint(url: str | None, where: str) -> Endpoint | None:
    try:
        return read_endpoint(url) if url else None
    except Invalid as error:
        raise ConfigError(f"{where} the endpoint of {IMAGE}: {error.message}") from None


def _credentials(
    config: Mapping[str, Any], endpoint: Endpoint | None, where: str
) -> Credentials | str | None:
    kind = config.get("auth_type") or "password"
    beside = {name: config[name] for name in _BESIDE_AUTH if config.get(name)}
    auth = {**beside, **(config.get("auth") or {})}
    if kind in (_NONE, _ADMIN_TOKEN):
        if endpoint is None:
            raise ConfigError(
                f"{where} image_endpoint_override is not set; with auth_type = {kind} nobody else "
                "tells where the image service is."
            )
        if kind == _NONE:
            return None
        if not auth.get("token"):
            raise ConfigError(f"{where} auth.token is not set.")
        return str(auth["token"])
    if kind not in _LOGINS:
        known = ", ".join(sorted(_LOGINS | {_NONE, _ADMIN_TOKEN}))
        raise ConfigError(f"{where} auth_type = {kind} is not available; these are: {known}.")
    return make_credentials({**auth, "auth_type": kind}, where.removesuffix(":"), tokens=True)


def _trust(where: str, authorities: str | None, certificate: Any, insecure: bool) -> Trust:
    own, key = certificate if isinstance(certificate, tuple) else (certificate, None)
    return Trust(
        (f"{where} cacert", authorities),
        insecure,
        certificate=(f"{where} cert", own),
        key=(f"{where} key", key),
    )
