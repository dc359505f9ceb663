"""Options for browsers that come from pages of other origins."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BracketList

OPTIONS: dict[str, list[cfg.Opt]] = {
    "cors": [
        cfg.Opt(
            "allowed_origin",
            type=BracketList(),
            help="Origins whose pages may use the API, such as https://dashboard.example.org; * "
            "for any. Unset: none, and nothing is said about origins.",
        ),
        cfg.BoolOpt(
            "allow_credentials",
            default=True,
            help="Let pages of the origins that are named send a visitor's credentials. Those "
            "that only * allows never may.",
        ),
        cfg.Opt(
            "expose_headers",
            type=BracketList(),
            default=[
                "X-Image-Meta-Checksum",
                "X-Auth-Token",
                "X-Subject-Token",
                "X-Service-Token",
                "X-OpenStack-Request-ID",
            ],
            help="Headers of answers that a page may read.",
        ),
        cfg.IntOpt(
            "max_age",
            default=3600,
            min=0,
            help="Seconds for which a browser may remember what it asked beforehand.",
        ),
        cfg.Opt(
            "allow_methods",
            type=BracketList(),
            default=["GET", "PUT", "POST", "DELETE", "PATCH"],
            help="Methods that a page may use.",
        ),
        cfg.Opt(
            "allow_headers",
            type=BracketList(),
            default=[
                "Content-MD5",
                "X-Image-Meta-Checksum",
                "X-Storage-Token",
                "Accept-Encoding",
                "X-Auth-Token",
                "X-Identity-Status",
                "X-Roles",
                "X-Service-Catalog",
                "X-User-Id",
                "X-Tenant-Id",
                "X-OpenStack-Request-ID",
            ],
            help="Headers that a page may send, beyond those that it always may.",
        ),
    ],
}
