"""Options of ``glance-replicator``: what is copied, how, and where the two sides are."""

from __future__ import annotations

from oslo_config import cfg

from glance.config.options.identity import INTERFACES, auth_options

#: The sections of the two sides.
SOURCE, TARGET = "source", "target"

#: Everything but the sections of the sides can be typed as well.
CLI = (
    "chunksize",
    "dontreplicate",
    "metaonly",
    "token",
    "sourcetoken",
    "targettoken",
    "parallel",
    "retries",
    "timeout",
    "name",
    "tag",
    "property",
    "visibility",
    "owner",
    "since",
    "dry_run",
    "delete_extra",
    "force",
    "watch",
)

#: Seconds between two runs of a service that was not told otherwise.
USUAL_WATCH = 300

_ANY = "any"

_VISIBLE = "Other users of this machine can see a command line: prefer a file, or the variable "


def _side(group: str, side: str, directory: str) -> list[cfg.Opt]:
    """Declare the options of one side.

    :param side: what to call it.
    :param directory: what a directory is there.
    """
    return [
        cfg.StrOpt(
            "server",
            metavar="SERVER",
            help=f"The image service that is the {side}, as host:port or as a URL, where the "
            "command line names none. Unset, and with credentials: the catalogue's.",
        ),
        cfg.StrOpt(
            "cloud",
            metavar="NAME",
            help=f"Name of a cloud in clouds.yaml that says where the {side} is and how to log in; "
            "envvars is the one of the OS_ variables.",
        ),
        cfg.StrOpt("directory", metavar="PATH", help=directory),
        *auth_options(group),
        cfg.StrOpt(
            "interface",
            default="public",
            choices=INTERFACES,
            help="Which of the image service's endpoints is used, out of the catalogue.",
        ),
        cfg.StrOpt(
            "region_name",
            help="Region whose endpoint is used. Unset: the first one of the catalogue.",
        ),
        cfg.StrOpt(
            "cafile",
            help="PEM file with the authorities that this side's certificates must come from. "
            "Unset: those that the machine trusts.",
        ),
        cfg.BoolOpt(
            "insecure",
            default=False,
            help="Do not verify this side's certificates: whoever is in between can read and "
            "change everything.",
        ),
    ]


OPTIONS: dict[str, list[cfg.Opt]] = {
    "DEFAULT": [
        cfg.IntOpt(
            "chunksize",
            short="c",
            # 64 KiB, as it has been elsewhere, would halve the speed of a fast network.
            default=1024**2,
            min=1024,
            max=16 * 1024**2,
            metavar="BYTES",
            help="Bytes of image data that are moved at a time, from and to connections and files.",
        ),
        cfg.StrOpt(
            "dontreplicate",
            short="D",
            default="created_at date deleted_at location updated_at",
            metavar="NAMES",
            help="Names of fields and properties that are neither compared nor copied, separated "
            "by spaces. Those that a service sets itself never are.",
        ),
        cfg.BoolOpt(
            "metaonly",
            short="m",
            default=False,
            help="Copy no data: bring the fields, tags, properties and members of images that the "
            "target has up to date, and write no data into a dump.",
        ),
        cfg.StrOpt(
            "token",
            short="t",
            secret=True,
            metavar="TOKEN",
            help=f"Token to send to both sides, unless one has its own. {_VISIBLE}"
            "OS_DEFAULT__TOKEN. A token ends, and the run with it; a login is renewed.",
        ),
        cfg.StrOpt(
            "sourcetoken",
            short="M",
            secret=True,
            metavar="TOKEN",
            deprecated_opts=[cfg.DeprecatedOpt("mastertoken", group="DEFAULT")],
            help=f"Token to send to the source. {_VISIBLE}OS_DEFAULT__SOURCETOKEN.",
        ),
        cfg.StrOpt(
            "targettoken",
            short="S",
            secret=True,
            metavar="TOKEN",
            deprecated_opts=[cfg.DeprecatedOpt("slavetoken", group="DEFAULT")],
            help=f"Token to send to the target. {_VISIBLE}OS_DEFAULT__TARGETTOKEN.",
        ),
        cfg.IntOpt(
            "parallel", default=4, min=1, max=64, metavar="N", help="Images copied at once."
        ),
        cfg.IntOpt(
            "retries",
            default=5,
            min=0,
            metavar="N",
            help="How often an image is tried again when the connection or a service fails, after "
            "pauses that grow to half a minute.",
        ),
        cfg.FloatOpt(
            "timeout",
            default=60.0,
            min=0.1,
            max=86400.0,
            metavar="SECONDS",
            help="Seconds that a request may take; of one with image data, seconds without a byte.",
        ),
        cfg.MultiStrOpt(
            "name",
            default=[],
            sample_default=_ANY,
            metavar="PATTERN",
            help="Only images of such a name; * stands for any text, ? for any character. Of "
            "several patterns one has to fit. Images have to pass all kinds of filters given.",
        ),
        cfg.MultiStrOpt(
            "tag",
            default=[],
            sample_default=_ANY,
            metavar="TAG",
            help="Only images with this tag; of several, all.",
        ),
        cfg.MultiStrOpt(
            "property",
            default=[],
            sample_default=_ANY,
            metavar="NAME=VALUE",
            help="Only images with this property; of several, all.",
        ),
        cfg.MultiStrOpt(
            "visibility",
            default=[],
            sample_default=_ANY,
            metavar="VISIBILITY",
            help="Only images of this visibility: public, community, shared or private; of "
            "several, any.",
        ),
        cfg.MultiStrOpt(
            "owner",
            default=[],
            sample_default=_ANY,
            metavar="PROJECT",
            help="Only images that belong to the project of this id; of several, any.",
        ),
        cfg.StrOpt(
            "since",
            sample_default=_ANY,
            metavar="TIME",
            help="Only images that were changed at that time or later, such as 2026-11-26 or "
            "2026-11-26T08:00:00Z.",
        ),
        cfg.BoolOpt(
            "dry_run", default=False, help="Change nothing, and tell what would have been done."
        ),
        cfg.BoolOpt(
            "delete_extra",
            default=False,
            help="Delete images that the target has and the source has not, as far as they pass "
            "the filters; protected ones stay. Asks first. An id that was deleted can never be "
            "used again. With compare: count them as a difference.",
        ),
        cfg.BoolOpt(
            "force",
            default=False,
            help="Delete without asking. Needed with delete_extra where nobody can be asked.",
        ),
        cfg.IntOpt(
            "watch",
            min=1,
            metavar="SECONDS",
            sample_default=f"once; twistd glance-replicator: {USUAL_WATCH}",
            help="Do it again and again, a run every so many seconds, until told to end. A service "
            f"below twistd does so every {USUAL_WATCH} seconds if this is unset.",
        ),
    ],
    SOURCE: _side(
        SOURCE, "source", "Directory with a dump that a service started without arguments loads."
    ),
    TARGET: _side(
        TARGET, "target", "Directory into which a service started without arguments dumps."
    ),
}
