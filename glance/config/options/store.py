"""Options of the stores that hold image data."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.valuetypes import BracketList, FileMode

CLI = ()

_SCHEMES = [
    "file",
    "filesystem",
    "http",
    "https",
    "swift",
    "swift+http",
    "swift+https",
    "swift+config",
    "rbd",
    "cinder",
    "vsphere",
    "s3",
]


def backend_options() -> list[cfg.Opt]:
    """Declare what the section of every single store takes, whatever its driver."""
    return [
        cfg.StrOpt(
            "store_description",
            help="What users are told about this store.",
        ),
        cfg.IntOpt(
            "weight",
            default=0,
            help="Of several copies of an image the one in the store of greatest weight is "
            "preferred.",
        ),
    ]


def file_options() -> list[cfg.Opt]:
    """Declare what the file driver takes, in ``[glance_store]`` or in a store's own section."""
    return [
        cfg.StrOpt(
            "filesystem_store_datadir",
            default="/var/lib/glance/images",
            help="Directory of the image files.",
        ),
        cfg.MultiStrOpt(
            "filesystem_store_datadirs",
            help="Several directories of image files, each as path or path:priority, instead of "
            "filesystem_store_datadir. The one of highest priority that has room is used, among "
            "equals the one with most room.",
        ),
        cfg.StrOpt(
            "filesystem_store_metadata_file",
            help="JSON file that tells where the directories are mounted; its contents are given "
            "out with the locations of images.",
        ),
        cfg.Opt(
            "filesystem_store_file_perm",
            type=FileMode(),
            default=0,
            help="Mode of the image files, in octal digits. 0 leaves it to the umask.",
        ),
        cfg.IntOpt(
            "filesystem_store_chunk_size",
            default=65536,
            min=1,
            help="Bytes read or written at a time. The service may take more when that is faster.",
        ),
        cfg.BoolOpt(
            "filesystem_thin_provisioning",
            default=False,
            help="Leave holes in the file where the image has blocks of zeroes.",
        ),
        cfg.IntOpt(
            "filesystem_store_timeout",
            default=0,
            min=0,
            help="Seconds after which a file operation counts as failed, so that a network file "
            "system that hangs does not hold up everything; 0 waits for ever.",
        ),
        cfg.IntOpt(
            "filesystem_store_thread_pool_size",
            default=10,
            min=1,
            help="Threads for file operations.",
        ),
        cfg.IntOpt(
            "filesystem_store_threadpool_threshold",
            default=75,
            min=0,
            max=100,
            help="Percentage of those threads in use at which a warning is logged.",
        ),
        cfg.BoolOpt(
            "filesystem_store_direct_io",
            default=True,
            help="Write past the page cache where the file system allows it, so that large "
            "uploads do not push everything else out of memory.",
        ),
    ]


def http_options() -> list[cfg.Opt]:
    """Declare what the http driver takes, in ``[glance_store]`` or in a store's own section."""
    return [
        cfg.StrOpt(
            "https_ca_certificates_file",
            help="PEM file of the authorities that certificates of https servers must come from. "
            "Unset, those that the system trusts.",
        ),
        cfg.BoolOpt(
            "https_insecure",
            default=False,
            help="Do not verify the certificates of https servers. Has no effect where "
            "https_ca_certificates_file is set.",
        ),
        cfg.DictOpt(
            "http_proxy_information",
            default={},
            help="Proxies to fetch through, by the scheme of the URL, such as "
            "http:10.0.0.1:3128,https:10.0.0.1:3128. Names are then resolved by the proxy, which "
            "has to see to it where they lead.",
        ),
    ]


#: What each driver takes that comes with the service.
DRIVER_OPTIONS = {"file": file_options, "http": http_options}


OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.DictOpt(
            "enabled_backends",
            help="Stores to use, as id:driver pairs, such as fast:file, slow:file. Each store has "
            "a section of its own, named after its id; see also [glance_store]default_backend. "
            "Unset, [glance_store]stores is used instead.",
        ),
    ],
    "glance_store": [
        cfg.StrOpt(
            "default_backend",
            help="Id of the store for images whose uploader names none. Required with "
            "enabled_backends.",
        ),
        cfg.Opt(
            "stores",
            type=BracketList(),
            default=["file", "http"],
            help="Drivers to load when enabled_backends is not set.",
        ),
        cfg.StrOpt(
            "default_store",
            default="file",
            choices=_SCHEMES,
            help="Scheme of the store for new images when enabled_backends is not set.",
        ),
        *file_options(),
        *http_options(),
    ],
}
