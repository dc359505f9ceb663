"""Read the files that say who may do what: policy rules and protected properties."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.logger import Logger

from glance.domain.errors import ConfigError
from glance.domain.protection import Protection, parse_protection
from glance.domain.text import shorten
from glance.identity.policysource import PolicySource
from glance.identity.ruleset import RuleSet

_log = Logger()


def thd_load_rules(conf: Any) -> tuple[PolicySource, RuleSet]:
    """Read the policy files of a configuration.

    :returns: the rules, and where they can be had anew.
    :raises ConfigError: a file cannot be used.
    """
    source = PolicySource.of(conf)
    rules = source.thd_load()
    for warning in rules.warnings:
        _log.warn("{warning}", warning=warning)
    return source, rules


def thd_load_protection(conf: Any, rules: RuleSet) -> Protection | None:
    """Read the property protection file of a configuration, if it has one.

    :param rules: the policy rules, which the file may name.
    :raises ConfigError: it cannot be used.
    """
    name = conf.property_protection_file
    if not name:
        return None
    path = conf.find_file(name)
    if path is None:
        raise ConfigError(
            f"[DEFAULT]property_protection_file = {shorten(name)}: there is no such file, neither"
            " there nor beside the configuration files nor in the usual places."
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigError(f"Property protection file {path}: cannot be read: {reason}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"Property protection file {path}: is not text in UTF-8.") from None
    return parse_protection(text, path, conf.property_protection_rule_format, rules.__contains__)
