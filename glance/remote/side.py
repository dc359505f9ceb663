"""One of the image services that a program works on: where it is, and how to ask it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from glance.domain.errors import ConfigError, Invalid
from glance.identity.credentials import Credentials
from glance.remote.endpoint import Endpoint, read_endpoint
from glance.remote.errors import NoEndpoint
from glance.remote.exchanges import CHUNK, Exchanges
from glance.remote.images import RemoteImages
from glance.remote.service import (
    CONNECT_TIME,
    PATIENCE,
    ImageService,
    Trust,
    make_http,
    make_tls,
    make_tokens,
)
from glance.remote.tokens import KeystoneTokens, Tokens
from glance.remote.transfers import Transfers
from glance.remote.watching import STALL_TIME

#: Type of the image service in the catalogue of the identity service.
IMAGE = "image"


@dataclass(frozen=True, slots=True)
class Side:
    """An image service, and how to ask it.

    :param name: of the side, for messages.
    :param endpoint: where it is; ``None`` to look it up in the catalogue that comes with a login.
    :param credentials: to log in to Keystone with, or a token, or none.
    :param interface: which endpoint of the catalogue: ``public``, ``internal`` or ``admin``.
    :param region: whose endpoint; ``None`` for the first.
    """

    name: str
    endpoint: Endpoint | None = None
    credentials: Credentials | str | None = field(default=None, repr=False)
    interface: str = "public"
    region: str | None = None
    trust: Trust = Trust()


@dataclass(frozen=True, slots=True)
class Pace:
    """What is waited for how long, and how much is moved at once.

    :param seconds: that a request may take which is no transfer, and a transfer until it begins.
    :param stall_time: seconds without progress after which a transfer is given up.
    :param chunk_size: bytes read from a connection, and kept for one to be written, at once.
    """

    seconds: float = PATIENCE
    stall_time: float = STALL_TIME
    chunk_size: int = CHUNK


async def connect_images(reactor: Any, side: Side, pace: Pace | None = None) -> RemoteImages:
    """Make what asks for the images of a side. Nothing is sent unless its endpoint is not known.

    :raises ConfigError: something is missing, or a file cannot be used.
    :raises RemoteError: the endpoint was not found out.
    """
    pace = pace or Pace()
    tls = make_tls(side.trust)
    http = make_http(reactor, tls, pace.seconds)
    tokens = make_tokens(reactor, http, side.credentials)
    endpoint = side.endpoint or await _look_up(side, tokens)
    service = ImageService(http, endpoint, tokens, pace.seconds)
    connect_time = min(pace.seconds, CONNECT_TIME)
    exchanges = Exchanges(reactor, tls, connect_time=connect_time, chunk_size=pace.chunk_size)
    transfers = Transfers(
        reactor, service, exchanges, seconds=pace.seconds, stall_time=pace.stall_time
    )
    return RemoteImages(service, transfers)


async def _look_up(side: Side, tokens: Tokens) -> Endpoint:
    if not isinstance(tokens, KeystoneTokens):
        raise ConfigError(
            f"Nothing says where the image service of {side.name} is; only a login tells without "
            "being told."
        )
    url = await tokens.endpoint(IMAGE, side.interface, side.region)
    try:
        return read_endpoint(url)
    except Invalid:
        raise NoEndpoint(
            f"The catalogue's {side.interface} endpoint of {IMAGE} is no URL of a service."
        ) from None
