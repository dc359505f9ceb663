"""What the service needs besides its options: everything that is read from further files.

It is read once for all processes of a generation, so that a worker that has to be replaced is like
its siblings, whatever has happened to the files since.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from glance.config import schema_image
from glance.domain.protection import Protection
from glance.identity.policysource import PolicySource
from glance.identity.ruleset import RuleSet
from glance.services.access import thd_load_protection, thd_load_rules
from glance.services.edge import Edge, thd_make_edge
from glance.transfers.hashing import check_algorithm


@dataclass(frozen=True, slots=True)
class Prepared:
    """The content of files that options name.

    :param edge: how clients are met, certificates included.
    :param source: where the policy's rules can be had anew.
    :param custom: the content of ``schema-image.json``.
    :param protection: which custom properties are protected from whom, if any are.
    """

    edge: Edge
    source: PolicySource
    rules: RuleSet
    custom: Mapping[str, Any] | None
    protection: Protection | None


def thd_prepare(conf: Any, warn: Callable[[str], None] = lambda text: None) -> Prepared:
    """Read the files.

    :param warn: tells the operator what has no effect or will not please clients.
    :raises ConfigError: one of them cannot be used.
    """
    check_algorithm(conf.hashing_algorithm)
    edge = thd_make_edge(conf, warn)
    source, rules = thd_load_rules(conf)
    return Prepared(
        edge=edge,
        source=source,
        rules=rules,
        custom=schema_image.thd_read(conf),
        protection=thd_load_protection(conf, rules),
    )
