"""Options of the ``file`` driver."""

from __future__ import annotations

from typing import Any

from oslo_config import cfg


def options() -> list[Any]:
    """Return the options of the ``file`` driver, for whichever section they are to stand in."""
    return [
        cfg.StrOpt(
            "filesystem_store_datadir",
            default="/var/lib/glance/images",
            help="Directory for image files. Leave it unset when using filesystem_store_datadirs.",
        ),
        cfg.MultiStrOpt(
            "filesystem_store_datadirs",
            help="Directories for image files, each path or path:priority. The highest priority "
            "is filled first, and within one priority the directory with the most room.",
        ),
        cfg.StrOpt(
            "filesystem_store_metadata_file",
            help="JSON file with an object, or a list of them, holding id and mountpoint; the one "
            "whose mount point a file lies below becomes metadata of its location.",
        ),
        cfg.IntOpt(
            "filesystem_store_file_perm",
            default=0,
            help="Mode of image files in octal digits, such as 640. 0 leaves it to the umask.",
        ),
        cfg.IntOpt(
            "filesystem_store_chunk_size",
            default=65536,
            min=1,
            help="Accepted for compatibility; transfers choose their own sizes.",
        ),
        cfg.BoolOpt(
            "filesystem_thin_provisioning",
            default=False,
            help="Leave holes in the files instead of writing stretches of zeros.",
        ),
        cfg.IntOpt(
            "filesystem_store_timeout",
            default=0,
            min=0,
            help="Seconds after which a file operation counts as failed. 0 waits for ever.",
        ),
        cfg.IntOpt(
            "filesystem_store_thread_pool_size",
            default=10,
            min=1,
            help="Threads for file operations of this store.",
        ),
        cfg.IntOpt(
            "filesystem_store_threadpool_threshold",
            default=75,
            min=0,
            max=100,
            help="Percentage of busy threads from which on a warning is logged, where "
            "filesystem_store_timeout is on.",
        ),
        cfg.BoolOpt(
            "filesystem_store_direct_io",
            default=True,
            help="Write past the page cache where the file system can, which takes a fraction of "
            "the processor time.",
        ),
    ]
