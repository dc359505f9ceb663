"""Which service ``glance-cache-manage`` asks, and as whom: from options and environment.

What the command line says wins over the environment, whatever name it has there.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, field

from glance.identity.credentials import Credentials
from glance.remote.access import Given, read_credentials
from glance.remote.endpoint import Endpoint, read_endpoint


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
    given = Given(vars(arguments), environ, url_name="OS_AUTH_URL or --os-auth-url")
    return Access(
        read_endpoint(arguments.host, arguments.port),
        read_credentials(given),
        given.value("os_cacert"),
        arguments.insecure,
        arguments.timeout,
    )
