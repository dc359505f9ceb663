"""Options of the identity service: how callers' tokens are checked, and with what credentials."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BracketList

CLI = ()

#: Where the options stand.
GROUP = "keystone_authtoken"

#: Kinds of endpoints of a catalogue, by their new and their old names.
INTERFACES = ("internal", "public", "admin", "internalURL", "publicURL", "adminURL")


def _old(*names: str, group: str = GROUP) -> list[cfg.DeprecatedOpt]:
    """Declare former names in the same section."""
    return [cfg.DeprecatedOpt(name, group=group) for name in names]


def auth_options(group: str = GROUP) -> list[cfg.Opt]:
    """Declare the service's own credentials.

    :param group: the section that they stand in, which ``auth_section`` may name.
    """
    return [
        cfg.StrOpt(
            "auth_type",
            deprecated_opts=_old("auth_plugin", group=group),
            help="How the service itself logs in: password (or v3password), or "
            "v3applicationcredential. Unset: an application credential if one is set, else a "
            "password.",
        ),
        cfg.StrOpt(
            "auth_url",
            help="URL of the identity service, with or without /v3. Credentials are sent nowhere "
            "else, whatever the service's version document says.",
        ),
        cfg.StrOpt(
            "username",
            deprecated_opts=_old("user_name", group=group),
            help="Name of the service's user; goes with user_domain_id or user_domain_name.",
        ),
        cfg.StrOpt("user_id", help="Id of the service's user, instead of a name."),
        cfg.StrOpt("password", secret=True, help="Password of the service's user."),
        cfg.StrOpt("user_domain_id", help="Id of the domain of the service's user."),
        cfg.StrOpt("user_domain_name", help="Name of the domain of the service's user."),
        cfg.StrOpt(
            "project_id",
            deprecated_opts=_old("tenant_id", group=group),
            help="Id of the project that the service's user acts in.",
        ),
        cfg.StrOpt(
            "project_name",
            deprecated_opts=_old("tenant_name", group=group),
            help="Name of that project; goes with project_domain_id or project_domain_name.",
        ),
        cfg.StrOpt("project_domain_id", help="Id of the project's domain."),
        cfg.StrOpt("project_domain_name", help="Name of the project's domain."),
        cfg.StrOpt(
            "default_domain_id",
            help="Id of the domain of user and project where none is set for them.",
        ),
        cfg.StrOpt(
            "default_domain_name",
            help="Name of the domain of user and project where none is set for them.",
        ),
        cfg.StrOpt(
            "system_scope",
            help="Act on the whole system instead of in a project. Value: all.",
        ),
        cfg.StrOpt("domain_id", help="Id of a domain to act on instead of in a project."),
        cfg.StrOpt("domain_name", help="Name of a domain to act on instead of in a project."),
        cfg.StrOpt("trust_id", help="Id of a trust to act by instead of in a project."),
        cfg.StrOpt(
            "application_credential_id",
            help="Id of the application credential that the service logs in with.",
        ),
        cfg.StrOpt(
            "application_credential_name",
            help="Name of that application credential; goes with the user's id, or with name and "
            "domain.",
        ),
        cfg.StrOpt(
            "application_credential_secret",
            secret=True,
            help="Secret of that application credential.",
        ),
    ]


OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.BoolOpt(
            "allow_anonymous_access",
            default=False,
            help="Let callers without a valid token look at what is public. They may change "
            "nothing.",
        ),
    ],
    GROUP: [
        cfg.StrOpt(
            "www_authenticate_uri",
            deprecated_opts=_old("auth_uri"),
            help="URL of the identity service that callers without a valid token are told. Unset: "
            "auth_url.",
        ),
        cfg.StrOpt(
            "auth_section",
            help="Section that holds auth_type, auth_url and the credentials instead of this one.",
        ),
        *auth_options(),
        cfg.StrOpt(
            "interface",
            default="internal",
            choices=INTERFACES,
            help="Endpoint of the identity service that is used, out of its catalogue.",
        ),
        cfg.StrOpt(
            "region_name",
            help="Region whose endpoint is used. Unset: the first one of the catalogue.",
        ),
        cfg.StrOpt(
            "auth_version",
            help="Version of the identity API. Value: v3, the only one there is.",
        ),
        cfg.BoolOpt(
            "delay_auth_decision",
            default=False,
            help="Accepted so that old files load. Callers without a valid token are always "
            "judged by allow_anonymous_access, and an identity service that does not answer is "
            "always told as 503: no token is ever called invalid because nobody could check it.",
        ),
        cfg.IntOpt(
            "http_connect_timeout",
            min=1,
            sample_default="10",
            help="Seconds that one request to the identity service may take.",
        ),
        cfg.IntOpt(
            "http_request_max_retries",
            default=3,
            min=0,
            help="How often a request to the identity service is repeated when the connection or "
            "the service fails.",
        ),
        cfg.StrOpt(
            "cafile",
            help="PEM file with the authorities that the identity service's certificate must come "
            "from. Unset: those that the machine trusts.",
        ),
        cfg.StrOpt(
            "certfile",
            help="PEM file with the certificate that the service shows to the identity service.",
        ),
        cfg.StrOpt(
            "keyfile",
            help="PEM file with the private key of certfile. Unset: it is in certfile.",
        ),
        cfg.BoolOpt(
            "insecure",
            default=False,
            help="Do not check the identity service's certificate. Whoever is on the way between "
            "can then read the credentials and forge every caller's identity.",
        ),
        cfg.IntOpt(
            "token_cache_time",
            default=300,
            min=-1,
            help="Seconds for which a token that was found valid is not checked again, and so the "
            "longest time that a revoked token is still good for. 0 or -1: every request is "
            "checked.",
        ),
        cfg.BoolOpt(
            "include_service_catalog",
            default=True,
            help="Keep the catalogue of endpoints that comes with a token, for calls on the "
            "caller's behalf.",
        ),
        cfg.StrOpt(
            "enforce_token_bind",
            default="permissive",
            help="What to do about tokens that are bound to another way of authentication: "
            "disabled takes them, permissive refuses those bound by Kerberos (which cannot be "
            "checked here), strict refuses all of them.",
        ),
        cfg.Opt(
            "service_token_roles",
            type=BracketList(),
            default=["service"],
            help="Roles, any of which makes the token of a calling service good for what only "
            "services may do: have a user's token accepted that has ended meanwhile.",
        ),
        cfg.BoolOpt(
            "service_token_roles_required",
            default=True,
            help="Refuse service tokens that have none of service_token_roles.",
        ),
        cfg.StrOpt(
            "service_type",
            default="image",
            help="Type of this service, by which the access rules of application credentials "
            "mean it.",
        ),
        cfg.Opt(
            "memcached_servers",
            type=BracketList(),
            deprecated_opts=_old("memcache_servers"),
            help="Memcached servers, as host:port, in which all processes and nodes share what "
            "they know of tokens. Whoever can write there without memcache_security_strategy can "
            "forge identities.",
        ),
        cfg.StrOpt(
            "memcache_security_strategy",
            default="None",
            choices=["None", "MAC", "ENCRYPT"],
            ignore_case=True,
            help="How what is kept in memcached is protected: signed (MAC), encrypted and signed "
            "(ENCRYPT) or not at all.",
        ),
        cfg.StrOpt(
            "memcache_secret_key",
            secret=True,
            help="Text that the keys for that are made of; the same on all nodes.",
        ),
        cfg.BoolOpt(
            "memcache_tls_enabled",
            default=False,
            help="Speak TLS with memcached.",
        ),
        cfg.StrOpt(
            "memcache_tls_cafile",
            help="PEM file with the authorities that memcached's certificate must come from. "
            "Unset: those that the machine trusts.",
        ),
        cfg.StrOpt(
            "memcache_tls_certfile",
            help="PEM file with the certificate that the service shows to memcached.",
        ),
        cfg.StrOpt(
            "memcache_tls_keyfile",
            help="PEM file with the private key of memcache_tls_certfile. Unset: it is in there.",
        ),
        cfg.StrOpt(
            "memcache_tls_allowed_ciphers",
            help="Ciphers that may be used with memcached, in OpenSSL's notation.",
        ),
        cfg.BoolOpt(
            "memcache_sasl_enabled",
            default=False,
            help="Not available: set, it keeps the service from starting. Protect memcached by "
            "TLS with certificates, and what is in it by memcache_security_strategy.",
        ),
        cfg.IntOpt(
            "memcache_pool_dead_retry",
            default=300,
            min=0,
            help="Seconds for which a memcached server that does not answer is left alone.",
        ),
        cfg.IntOpt(
            "memcache_pool_socket_timeout",
            default=3,
            min=1,
            help="Seconds that an operation of a memcached server may take, connecting included.",
        ),
        cfg.IntOpt(
            "memcache_pool_unused_timeout",
            default=60,
            min=1,
            help="Seconds after which an unused connection to a memcached server is closed.",
        ),
    ],
}
