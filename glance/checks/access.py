"""Who may do what: policy files, protected properties, and how callers are told apart."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from glance.checks.results import Finding, doubt, fault, note
from glance.checks.setting import Setting
from glance.config.options.identity import GROUP
from glance.domain.errors import ConfigError
from glance.identity.flavors import authenticates

#: Days before a certificate's end from which on it is told.
NEAR_END = 30

_JSON = (
    "Policy file {path} is JSON, which policy files are written in no more. Turn it into YAML, for "
    "instance with oslopolicy-convert-json-to-yaml, keep only the rules that differ from the "
    "defaults, and name it in [oslo_policy]policy_file."
)


def thd_policy_format(setting: Setting) -> Iterator[Finding]:
    """Look whether the policy file is in the format of old."""
    conf = setting.conf
    path = conf.find_file(conf.oslo_policy.policy_file)
    if path is None and not _is_named(conf):
        # The default name of old, which is still found.
        path = conf.find_file("policy.json")
    if path is None:
        return
    from glance.identity.policyfiles import thd_read

    try:
        is_json = thd_read(path).is_json
    except ConfigError:
        # The check of the rules says so.
        return
    if is_json:
        yield fault(_JSON.format(path=path))


def thd_policy_rules(setting: Setting) -> Iterator[Finding]:
    """Look whether the rules can be put in force, and what is odd about them."""
    if not _has_policy_files(setting.conf):
        yield note("There is no policy file: the default rules are in force.")
        return
    rules = _thd_rules(setting.conf)
    yield note(f"Rules of {', '.join(rules.files) or 'no file'} over the defaults.")
    for warning in rules.warnings:
        yield doubt(warning)


def _has_policy_files(conf: Any) -> bool:
    """Tell whether there is anything to read; oslo.policy, which reads it, is slow to load."""
    names = [conf.oslo_policy.policy_file, *conf.oslo_policy.policy_dirs, "policy.json"]
    return _is_named(conf) or any(conf.find_file(name) for name in names)


def _is_named(conf: Any) -> bool:
    """Tell whether the operator wrote the policy file's name, and so expects it to be there."""
    controlled: bool = conf.get_location("policy_file", "oslo_policy").location.is_user_controlled
    return controlled


def _thd_rules(conf: Any) -> Any:
    from glance.identity.policysource import PolicySource

    return PolicySource.of(conf).thd_load()


def thd_protection(load: Callable[[Any, Any], Any], setting: Setting) -> Iterator[Finding]:
    """Look whether the file that protects properties can be used.

    :param load: reads it, given the options and the rules.
    """
    if setting.conf.property_protection_file:
        load(setting.conf, _thd_rules(setting.conf))
        yield note(f"Properties are protected by {setting.conf.property_protection_file}.")


def thd_authentication(setting: Setting) -> Iterator[Finding]:
    """Look whether callers can be told apart as the configuration wants it."""
    conf = setting.conf
    options = conf[GROUP]
    authenticated = authenticates(conf.paste_deploy.flavor)
    if conf.paste_deploy.config_file:
        yield doubt(
            "[paste_deploy]config_file is not read: pipelines are chosen by flavor alone. What "
            "else was changed in that file has to be set by options."
        )
    if authenticated:
        from twisted.internet import reactor

        from glance.identity.factory import make_authenticator

        # As the service does it: credentials, certificates and memcached are looked at, and the
        # network is not.
        make_authenticator(conf, reactor, lambda _: False)
        if conf.use_keystone_limits:
            from glance.identity.limits import make_limits

            make_limits(conf, reactor)
    elif options.auth_url or options.auth_section:
        yield doubt(
            f"Nobody is authenticated: [{GROUP}] is configured, but without [paste_deploy]flavor = "
            "keystone it is not used, and every caller is an administrator."
        )
    elif conf.allow_remote_without_auth:
        yield doubt(
            "Nobody is authenticated, and [DEFAULT]allow_remote_without_auth is on: whoever "
            "reaches this machine can read, change and delete every image."
        )
    else:
        yield note("Nobody is authenticated; the service listens for this machine only.")


def thd_certificates(
    make: Callable[[Any, Callable[[str], None]], Any], setting: Setting
) -> Iterator[Finding]:
    """Look whether the certificates of the API's ports can be used, and for how long.

    :param make: loads them as the service does, given the options and what to call with warnings.
    """
    conf = setting.conf
    if not conf.cert_file:
        return
    warnings: list[str] = []
    make(conf, warnings.append)
    yield from map(doubt, warnings)
    for option in ("cert_file", "ca_file"):
        if getattr(conf, option):
            yield from _thd_ages(option, getattr(conf, option), setting, bool(warnings))
    mode = os.stat(conf.key_file).st_mode
    if mode & 0o004:
        yield doubt(
            f"[DEFAULT]key_file: everybody on this machine can read {conf.key_file}; take that "
            "away with chmod o-r."
        )


def _thd_ages(option: str, path: str, setting: Setting, told: bool) -> Iterator[Finding]:
    from cryptography.x509 import load_pem_x509_certificates

    with open(path, "rb") as file:
        certificates = load_pem_x509_certificates(file.read())
    for number, certificate in enumerate(certificates, 1):
        end = certificate.not_valid_after_utc.replace(tzinfo=None)
        days = (end - setting.now).days
        which = f"certificate {number} in " if len(certificates) > 1 else "the certificate in "
        if days < 0 and not told:
            yield doubt(f"[DEFAULT]{option}: {which}{path} ended on {end:%Y-%m-%d}; replace it.")
        elif 0 <= days < NEAR_END:
            yield doubt(
                f"[DEFAULT]{option}: {which}{path} ends on {end:%Y-%m-%d}; replace it by then."
            )
