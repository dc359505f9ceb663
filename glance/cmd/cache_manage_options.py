"""The command line of ``glance-cache-manage``.

The program reads no configuration, so its parser is its own. Long options may be written with
underscores too, and as the manual pages of old have them.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence

from glance import __version__
from glance.cmd.cache_manage_commands import PROGRAM, SUMMARY, listing

#: Where the service listens, unless told otherwise.
HOST = "0.0.0.0"

_LONGEST = 86400.0


def make_parser() -> argparse.ArgumentParser:
    """Make the parser."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage="%(prog)s <command> [options] [args]",
        description=f"{SUMMARY}\n\n{listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        add_help=False,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument("-h", "--help", action="store_true", help="Show this message and exit.")
    parser.add_argument(
        "--version",
        action="version",
        version=__version__,
        help="Show the version number and exit.",
    )
    _add_general(parser)
    _add_work(parser.add_argument_group("options of commands"))
    _add_service(parser.add_argument_group("the image service"))
    _add_identity(parser.add_argument_group("who you are"))
    return parser


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    :raises SystemExit: with 0 after ``--version``, with 2 after a usage error.
    """
    return make_parser().parse_intermixed_args(list(argv))


def _add_general(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-v", "--verbose", action="store_true", help="Say what was done, and how long it took."
    )
    parser.add_argument(
        "-d",
        "--debug",
        action="store_true",
        help="Show requests, and where in the program a failure came from.",
    )
    parser.add_argument(
        "-f", "--force", action="store_true", help="Do it without asking for confirmation."
    )


def _add_work(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json", action="store_true", help="With list-cached and list-queued: print JSON."
    )
    group.add_argument(
        "--wait",
        action="store_true",
        help="With queue-image: wait until the images are cached, and show how far that is.",
    )
    group.add_argument(
        "--wait-time",
        type=_seconds,
        metavar="SECONDS",
        help="With --wait: wait no longer than that. Without limit unless given.",
    )


def _add_service(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-H",
        "--host",
        default=HOST,
        metavar="ADDRESS",
        help="Name or address of the image service's host, or its URL such as "
        "https://host:9292/image.",
    )
    group.add_argument(
        "-p",
        "--port",
        type=_port,
        metavar="PORT",
        help="Port that the image service listens on; 9292 unless given here or in the URL.",
    )
    group.add_argument(
        "-k",
        "--insecure",
        action="store_true",
        help="Do not verify certificates, neither of the image service nor of Keystone: whoever "
        "is in between can read and change everything.",
    )
    _option(
        group,
        ["--os-cacert"],
        "OS_CACERT",
        metavar="FILE",
        help="Certificates of the authorities to trust, in PEM.",
    )
    group.add_argument(
        "--timeout",
        type=_seconds,
        default=60,
        metavar="SECONDS",
        help="Seconds that a request may take.",
    )


def _add_identity(group: argparse._ArgumentGroup) -> None:
    _option(
        group,
        ["-A", "--os-auth-token"],
        "OS_AUTH_TOKEN, OS_TOKEN",
        ["--auth_token", "--auth-token", "-os-auth-token"],
        metavar="TOKEN",
        help="Token to send; there is no login then.",
    )
    _option(
        group,
        ["-S", "--os-auth-strategy"],
        "OS_AUTH_STRATEGY",
        metavar="STRATEGY",
        choices=["keystone", "noauth"],
        help="How to get a token: keystone (log in) or noauth (none is sent). Unless given, "
        "keystone if anything for a login is given.",
    )
    _option(group, ["-N", "--os-auth-url"], "OS_AUTH_URL", help="URL of Keystone.")
    _option(group, ["-I", "--os-username"], "OS_USERNAME", help="User to log in as.")
    _option(
        group,
        ["-K", "--os-password"],
        "OS_PASSWORD",
        help="The user's password. Other users of this machine can see a command line: prefer "
        "the variable.",
    )
    _option(group, ["--os-user-domain-id"], "OS_USER_DOMAIN_ID", ["-os-user-domain-id"])
    _option(group, ["--os-user-domain-name"], "OS_USER_DOMAIN_NAME")
    _option(group, ["--os-project-id"], "OS_PROJECT_ID")
    _option(group, ["-T", "--os-project-name"], "OS_PROJECT_NAME")
    _option(group, ["--os-project-domain-id"], "OS_PROJECT_DOMAIN_ID", ["-os-project-domain-id"])
    _option(group, ["--os-project-domain-name"], "OS_PROJECT_DOMAIN_NAME")
    _option(
        group,
        ["--os-domain-id"],
        "OS_DOMAIN_ID",
        ["-os-domain-id"],
        help="Domain of user and project where nothing else is said of it; default unless given.",
    )
    _option(group, ["--os-tenant-id"], "OS_TENANT_ID", help="Former name of --os-project-id.")
    _option(group, ["--os-tenant-name"], "OS_TENANT_NAME", help="Former name of --os-project-name.")
    _option(
        group,
        ["-R", "--os-region-name"],
        "OS_REGION_NAME",
        help="Accepted without effect: --host and --port say whose cache is meant.",
    )


def _option(
    group: argparse._ArgumentGroup,
    names: list[str],
    variables: str,
    former: Iterable[str] = (),
    *,
    help: str = "",
    **details: object,
) -> None:
    """Add an option that has variables of the environment, with the other ways to write it.

    :param variables: that count where the option is not given.
    :param former: more ways to write it.
    """
    text = f"{help} Variable: {variables}." if help else f"Variable: {variables}."
    made = group.add_argument(*names, help=text, **details)  # type: ignore[arg-type]
    others = [f"--{name[2:].replace('-', '_')}" for name in names if name.startswith("--")]
    group.add_argument(
        *others,
        *former,
        dest=made.dest,
        choices=made.choices,
        metavar=made.metavar,
        help=argparse.SUPPRESS,
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:6]) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 65535")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= _LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of more than 0 and at most {_LONGEST:g}"
        )
    return value
