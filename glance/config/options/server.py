"""Options of a program that listens on a port."""

from __future__ import annotations

from oslo_config import cfg

CLI = ("bind_host", "bind_port", "workers", "allow_remote_without_auth")

OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.HostAddressOpt(
            "bind_host",
            metavar="HOST",
            sample_default="0.0.0.0",
            help="Address to listen on. Unset: 0.0.0.0 when requests are authenticated, 127.0.0.1 "
            "when they are not.",
        ),
        cfg.PortOpt(
            "bind_port",
            default=9292,
            metavar="PORT",
            help="Port to listen on; 0 takes any free one.",
        ),
        cfg.IntOpt(
            "workers",
            min=0,
            metavar="N",
            sample_default="the number of CPUs, 8 at most",
            help="Number of worker processes. 0 serves requests in the one process. Started "
            "without any configuration file, the default is 0.",
        ),
        cfg.BoolOpt(
            "allow_remote_without_auth",
            default=False,
            help="Allow the service to listen on an address that other machines reach although it "
            "authenticates nobody, which makes every caller an administrator.",
        ),
        cfg.IntOpt(
            "backlog",
            default=4096,
            min=1,
            help="Connections that may wait to be accepted.",
        ),
        cfg.IntOpt(
            "tcp_keepidle",
            default=600,
            min=1,
            help="Seconds of silence after which TCP asks whether the peer is still there.",
        ),
        cfg.IntOpt(
            "graceful_shutdown_timeout",
            default=60,
            min=0,
            help="Seconds that requests under way may take to be finished when the service is told "
            "to end by SIGTERM. What is left then is broken off, and uploads are undone. 0: as "
            "long as they take.",
        ),
        cfg.IntOpt(
            "graceful_reload_timeout",
            default=0,
            min=0,
            help="The same for requests that the processes of before a reload (SIGHUP) still have. "
            "Others serve meanwhile, so there is no hurry. 0: as long as they take.",
        ),
        cfg.StrOpt(
            "cert_file",
            help="PEM file with the server's certificate and those that lead to its authority. "
            "Together with key_file it makes the service speak TLS.",
        ),
        cfg.StrOpt(
            "key_file",
            help="PEM file with the private key of cert_file.",
        ),
        cfg.StrOpt(
            "ca_file",
            help="PEM file with the authorities that clients' certificates must come from. Set, "
            "it makes a client certificate obligatory.",
        ),
        cfg.HostAddressOpt(
            "internal_bind_host",
            default="127.0.0.1",
            metavar="HOST",
            help="Address of the internal port.",
        ),
        cfg.PortOpt(
            "internal_bind_port",
            metavar="PORT",
            help="A second port, for other services of the cloud, on which images show where their "
            "data is. Set, it makes bind_port hide that, whatever show_image_direct_url and "
            "show_multiple_locations say. 0 takes any free port.",
        ),
        cfg.BoolOpt(
            "internal_show_image_direct_url",
            default=True,
            help="show_image_direct_url of the internal port.",
        ),
        cfg.BoolOpt(
            "internal_show_multiple_locations",
            default=True,
            help="show_multiple_locations of the internal port.",
        ),
    ]
}
