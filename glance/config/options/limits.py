"""Options of unified limits: what Keystone lets each project have."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.options.identity import INTERFACES, auth_options
from glance.config.valuetypes import BracketList

CLI = ()

#: Where the options stand.
GROUP = "oslo_limit"

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.BoolOpt(
            "use_keystone_limits",
            default=False,
            help="Take each project's limits from Keystone (unified limits image_size_total, "
            "image_stage_total, image_count_total and image_count_uploading) instead of "
            "user_storage_quota. A resource without registered limit allows nothing. Needs "
            f"credentials in [{GROUP}].",
        ),
        cfg.IntOpt(
            "keystone_limits_cache_time",
            default=5,
            min=0,
            help="Seconds for which a project's limits are not read again, and so the longest time "
            "until a changed limit counts. 0: they are read for every request that needs them.",
        ),
    ],
    GROUP: [
        *auth_options(GROUP),
        cfg.StrOpt(
            "endpoint_id",
            help="Id of this service's endpoint in Keystone, whose service and region the limits "
            "are registered for.",
        ),
        cfg.StrOpt(
            "endpoint_service_type",
            help="Type of this service in Keystone, where endpoint_id is not set. Unset, and "
            "endpoint_service_name too: image.",
        ),
        cfg.StrOpt(
            "endpoint_service_name",
            help="Name of this service in Keystone, where endpoint_id is not set.",
        ),
        cfg.StrOpt(
            "endpoint_region_name",
            help="Region of the endpoint, where endpoint_id is not set and there are several.",
        ),
        cfg.StrOpt(
            "endpoint_interface",
            default="public",
            choices=INTERFACES,
            help="Interface of the endpoint, where endpoint_id is not set.",
        ),
        cfg.StrOpt(
            "service_type",
            help="Accepted so that old files load. It is always Keystone that is asked.",
        ),
        cfg.StrOpt(
            "service_name",
            help="Accepted so that old files load. It is always Keystone that is asked.",
        ),
        cfg.Opt(
            "valid_interfaces",
            type=BracketList(),
            help="Endpoint of Keystone that is used, out of its catalogue; the first one in the "
            "list counts. Unset: public.",
        ),
        cfg.StrOpt(
            "region_name",
            help="Region whose Keystone is used. Unset: the first one of the catalogue.",
        ),
        cfg.StrOpt(
            "endpoint_override",
            help="URL of Keystone to be used instead of one out of its catalogue.",
        ),
        cfg.StrOpt(
            "cafile",
            help="PEM file with the authorities that Keystone's certificate must come from. Unset: "
            "those that the machine trusts.",
        ),
        cfg.StrOpt(
            "certfile",
            help="PEM file with the certificate that the service shows to Keystone.",
        ),
        cfg.StrOpt(
            "keyfile",
            help="PEM file with the private key of certfile. Unset: it is in certfile.",
        ),
        cfg.BoolOpt(
            "insecure",
            default=False,
            help="Do not check Keystone's certificate. Whoever is on the way between can then read "
            "the credentials and set every limit.",
        ),
        cfg.FloatOpt(
            "timeout",
            min=0,
            sample_default="10",
            help="Seconds that one request to Keystone may take.",
        ),
    ],
}
