"""What the API's resources need to know of the configuration, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from glance.domain.protection import Protection
from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the callers of one listener get to see of where data is.

    :param direct_url: images have a ``direct_url``.
    :param locations: images have ``locations``, which may be changed.
    """

    direct_url: bool = False
    locations: bool = False


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Values of the configuration, read once.

    :param stores_enabled: several stores are configured (``enabled_backends``).
    :param protection: which custom properties are protected from whom, if any are.
    :param import_methods: the methods by which images can really be imported.
    """

    validator: ImageValidator
    quotas: Quotas
    disk_formats: tuple[str, ...]
    container_formats: tuple[str, ...]
    limit_param_default: int = 25
    api_limit_max: int = 1000
    stores_enabled: bool = False
    public_endpoint: str | None = None
    max_request_id_length: int = 64
    protection: Protection | None = None
    hashing_algorithm: str = "sha512"
    import_methods: tuple[str, ...] = ()
