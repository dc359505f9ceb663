"""Options of the image cache."""

from __future__ import annotations

from oslo_config import cfg

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.StrOpt(
            "image_cache_dir",
            metavar="<DIRECTORY>",
            help="Directory of this node's own copies of images, on a disk of this machine; an "
            "absolute path. Unset: there is no image cache. All processes of a node share it, "
            "nodes never do.",
        ),
        cfg.StrOpt(
            "image_cache_driver",
            default="centralized_db",
            choices=("centralized_db", "sqlite", "xattr"),
            help="Where the cache keeps book: in the catalogue's database, which then knows what "
            "all nodes have (centralized_db, needs worker_self_reference_url; without that, and "
            "unless it was asked for in so many words, sqlite takes its place), in a file of its "
            "own (sqlite), or in extended attributes of the copies (xattr; sqlite takes its place "
            "where the file system has none).",
        ),
        cfg.StrOpt(
            "image_cache_sqlite_db",
            default="cache.db",
            metavar="<FILE>",
            help="Name of the sqlite driver's file in image_cache_dir.",
        ),
        cfg.IntOpt(
            "image_cache_max_size",
            default=10 * 1024**3,
            min=0,
            help="Bytes that all files of the cache together may have. A copy for which no room "
            "can be made is not begun; the image is then sent from its store.",
        ),
        cfg.IntOpt(
            "image_cache_stall_time",
            default=86400,
            min=0,
            help="Seconds without progress after which an unfinished copy that nobody works on is "
            "removed; 0 counts each of them.",
        ),
        cfg.StrOpt(
            "worker_self_reference_url",
            metavar="<URL>",
            help="URL at which the other nodes reach the service of this one, different on each. "
            "In the database it says whose a cached image is.",
        ),
        cfg.BoolOpt(
            "cache_upkeep",
            default=True,
            help="Have glance-api itself clean, prune and fill the cache, so that neither "
            "glance-cache nor entries in a crontab are needed. If these run as well, they take "
            "turns.",
        ),
        cfg.IntOpt(
            "cache_prefetcher_interval",
            default=300,
            min=1,
            help="Seconds between two looks at the queue of images to be cached. What is queued "
            "over the API is fetched at once.",
        ),
        cfg.IntOpt(
            "cache_prefetcher_pool_size",
            default=2,
            min=1,
            help="Queued images that a node fetches at the same time.",
        ),
        cfg.IntOpt(
            "cache_cleaner_interval",
            default=3600,
            min=1,
            help="Seconds between two removals of broken and abandoned copies.",
        ),
        cfg.IntOpt(
            "cache_pruner_interval",
            default=1800,
            min=1,
            help="Seconds between two checks that the cache keeps within image_cache_max_size. It "
            "is kept all the time; this is for files that came by other ways, or a limit that "
            "was lowered.",
        ),
        cfg.IntOpt(
            "cache_interval_jitter",
            default=10,
            min=0,
            max=100,
            help="Percent by which these intervals vary at random, so that nodes that were "
            "started together do not all work at the same moment.",
        ),
    ]
}
