"""What the API's resources need to know of the configuration, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Values of the configuration, read once.

    :param stores_enabled: several stores are configured (``enabled_backends``).
    :param import_methods: the methods by which images can really be imported.
    """

    validator: ImageValidator
    quotas: Quotas
    disk_formats: tuple[str, ...]
    container_formats: tuple[str, ...]
    limit_param_default: int = 25
    api_limit_max: int = 1000
    show_image_direct_url: bool = False
    show_multiple_locations: bool = False
    stores_enabled: bool = False
    public_endpoint: str | None = None
    max_request_id_length: int = 64
    hashing_algorithm: str = "sha512"
    import_methods: tuple[str, ...] = ()
