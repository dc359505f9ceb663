"""Options of the image API itself: limits, formats, what is shown."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BaseUrl, BracketList, HashAlgorithm, Quota

CLI = ()

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.Opt(
            "public_endpoint",
            type=BaseUrl(),
            help="Base URL shown in the versions document. Unset: the one that the request came "
            "in by.",
        ),
        cfg.IntOpt(
            "max_request_id_length",
            default=64,
            min=0,
            help="Longest request id taken over from a caller's headers; 0 sets no limit.",
        ),
        cfg.IntOpt(
            "limit_param_default",
            default=25,
            min=1,
            help="Images in one page of a list when the request has no limit.",
        ),
        cfg.IntOpt(
            "api_limit_max",
            default=1000,
            min=1,
            help="Most images in one page of a list, whatever limit the request has.",
        ),
        cfg.IntOpt(
            "json_body_limit",
            default=1048576,
            min=1,
            help="Longest JSON request body taken, in bytes.",
        ),
        cfg.IntOpt(
            "image_size_cap",
            default=1099511627776,
            min=1,
            max=9223372036854775808,
            help="Most bytes of one image.",
        ),
        cfg.Opt(
            "user_storage_quota",
            type=Quota(),
            default="0",
            help="Most bytes of all images of one owner, with or without a unit of B, KB, MB, GB "
            "or TB; 0 sets no limit.",
        ),
        cfg.IntOpt(
            "image_member_quota",
            default=128,
            help="Most members of one image; a negative number sets no limit.",
        ),
        cfg.IntOpt(
            "image_property_quota",
            default=128,
            help="Most additional properties of one image; a negative number sets no limit.",
        ),
        cfg.IntOpt(
            "image_tag_quota",
            default=128,
            help="Most tags of one image; a negative number sets no limit.",
        ),
        cfg.IntOpt(
            "image_location_quota",
            default=10,
            help="Most locations of one image; a negative number sets no limit.",
        ),
        cfg.Opt(
            "hashing_algorithm",
            type=HashAlgorithm(),
            default="sha512",
            help="Algorithm of os_hash_value for new images: any of fixed length that Python's "
            "hashlib has. sha256 is the fastest on most of today's processors.",
        ),
        cfg.BoolOpt(
            "show_image_direct_url",
            default=False,
            help="Show where the data is as direct_url. Not on an endpoint that users reach: "
            "such a URL may hold credentials.",
        ),
        cfg.BoolOpt(
            "show_multiple_locations",
            default=False,
            help="Show all places of the data as locations and let them be changed. Not on an "
            "endpoint that users reach.",
        ),
        cfg.BoolOpt(
            "do_secure_hash",
            default=True,
            help="Compute the hashes of data that a location is added for. Turned off, those that "
            "the caller states are taken as they are, or none.",
        ),
        cfg.IntOpt(
            "http_retries",
            default=3,
            min=0,
            help="How often the data of an added location is read to compute its hashes before "
            "that is given up.",
        ),
        cfg.Opt(
            "enabled_import_methods",
            type=BracketList(),
            default=["glance-direct", "web-download", "copy-image"],
            help="Methods by which images may be imported. Clients are told of those among them "
            "that this service has.",
        ),
    ],
    "task": [
        cfg.IntOpt(
            "task_time_to_live",
            default=48,
            min=0,
            deprecated_opts=[cfg.DeprecatedOpt("task_time_to_live", group="DEFAULT")],
            help="Hours for which a task is shown after it has ended.",
        ),
    ],
    "image_format": [
        cfg.Opt(
            "container_formats",
            type=BracketList(),
            default=["ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
            deprecated_opts=[cfg.DeprecatedOpt("container_formats", group="DEFAULT")],
            help="Values taken for container_format.",
        ),
        cfg.Opt(
            "disk_formats",
            type=BracketList(),
            default=[
                "ami",
                "ari",
                "aki",
                "vhd",
                "vhdx",
                "vmdk",
                "raw",
                "qcow2",
                "vdi",
                "iso",
                "ploop",
            ],
            deprecated_opts=[cfg.DeprecatedOpt("disk_formats", group="DEFAULT")],
            help="Values taken for disk_format.",
        ),
        cfg.BoolOpt(
            "require_image_format_match",
            default=True,
            help="Refuse data that is not of the image's disk_format.",
        ),
        cfg.Opt(
            "gpt_safety_checks_nonfatal",
            type=BracketList(),
            default=[],
            help="Checks of a GPT disk whose failure is logged only, such as mbr.",
        ),
    ],
    "paste_deploy": [
        cfg.StrOpt(
            "flavor",
            help="How requests are authenticated, in the terms of the former paste files: "
            "keystone, or unset: nobody is authenticated and every caller is an administrator. "
            "caching and cachemanagement, alone or behind keystone+, need image_cache_dir; with "
            "cachemanagement the cache can be managed by the routes of old, too.",
        ),
        cfg.StrOpt(
            "config_file",
            help="The former paste file. Accepted so that old files load; nothing is read from it.",
        ),
    ],
}
