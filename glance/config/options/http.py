"""Options of how HTTP is spoken: limits, times, compression, proxies in front."""

from __future__ import annotations

from oslo_config import cfg

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.IntOpt(
            "client_socket_timeout",
            default=900,
            min=0,
            help="Seconds without any progress after which a client's connection is closed; 0 "
            "waits for ever. The other times below never last longer.",
        ),
        cfg.BoolOpt(
            "http_keepalive",
            default=True,
            help="Let a client send several requests over one connection.",
        ),
        cfg.IntOpt(
            "http_idle_timeout",
            default=75,
            min=0,
            help="Seconds that a connection stays open without a request; 0 sets no limit of its "
            "own. Keep it longer than a proxy in front keeps its connections.",
        ),
        cfg.IntOpt(
            "http_head_timeout",
            default=30,
            min=0,
            help="Seconds in which a request's line and headers must arrive; 0 sets no limit of "
            "its own.",
        ),
        cfg.IntOpt(
            "json_body_timeout",
            default=60,
            min=0,
            help="Seconds in which a JSON request body must arrive; 0 sets no limit of its own.",
        ),
        cfg.IntOpt(
            "max_header_line",
            default=16384,
            min=0,
            help="Longest request line or header line taken, in bytes; 0 sets no limit of its "
            "own. Large tokens with a service catalogue in them may need more.",
        ),
        cfg.IntOpt(
            "max_header_size",
            default=65536,
            min=1024,
            help="Most bytes of a request's line and headers together; max_header_line, if that "
            "is more.",
        ),
        cfg.IntOpt(
            "max_header_count",
            default=200,
            min=1,
            help="Most headers of a request.",
        ),
        cfg.IntOpt(
            "max_connections",
            default=0,
            min=0,
            help="Connections that a process takes at a time on a port; further ones wait in the "
            "backlog. 0 sets no limit.",
        ),
        cfg.BoolOpt(
            "gzip_responses",
            default=False,
            help="Compress JSON answers for clients that ask for it. Image data is never "
            "compressed.",
        ),
        cfg.IntOpt(
            "gzip_min_length",
            default=1024,
            min=1,
            help="Bytes of a JSON answer from which on it is compressed.",
        ),
    ],
    "oslo_middleware": [
        cfg.BoolOpt(
            "enable_proxy_headers_parsing",
            default=False,
            help="Believe what a proxy in front says of a request in Forwarded, or in "
            "X-Forwarded-Proto, -Host, -For and -Prefix: for the links that are given out and for "
            "the client's address in the log. The proxy must set these headers itself and not "
            "pass on those of a client.",
        ),
    ],
}
