"""``glance-status``: say before an upgrade whether it will go well.

The exit code is the worst result: 0 all is well, 1 a warning, 2 a failure, 255 the program itself
failed. Table and JSON are those of oslo.upgradecheck, which deployment tools read.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from glance.cmd.common import run
from glance.config import cli, load
from glance.config.programs import PROGRAMS
from glance.domain.errors import ConfigError

if TYPE_CHECKING:
    from glance.checks.results import Outcome
    from glance.checks.running import Check

NAME = "glance-status"
USAGE = 2
BROKEN = 255
#: Seconds that a check may take, unless told otherwise.
PATIENCE = 20
LONGEST = 86400.0

CATEGORIES = {"upgrade": ("check",)}


def main() -> None:
    """Run the program with the process's arguments."""
    run(status)


def status() -> int:
    """Do what the command line says.

    :returns: the exit code.
    """
    argv = sys.argv[1:]
    arguments = cli.parse(PROGRAMS[NAME], argv, add_arguments).arguments
    if getattr(arguments, "action", None) is None:
        return list_choices(arguments.category)
    try:
        code = check(argv, as_json=getattr(arguments, "json", False), patience=arguments.timeout)
    except Exception:
        from glance.services.logmask import mask

        print(f"Error:\n{mask(traceback.format_exc())}")
        return BROKEN
    leave_hanging(code)
    return code


def add_arguments(parser: argparse.ArgumentParser, general: argparse.ArgumentParser) -> None:
    """Add the categories and their actions to the command line."""
    categories = parser.add_subparsers(
        dest="category", metavar="CATEGORY", help="upgrade: check whether an upgrade will go well"
    )
    upgrade = categories.add_parser("upgrade", parents=[general], help="Look before an upgrade.")
    actions = upgrade.add_subparsers(dest="action", metavar="ACTION")
    summary = "Check configuration, policy, database, stores and what was left undone."
    action = actions.add_parser("check", parents=[general], description=summary, help=summary)
    for place, text in ((action, "Print a JSON object."), (upgrade, argparse.SUPPRESS)):
        place.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help=text)
    action.add_argument(
        "--timeout",
        type=seconds,
        default=PATIENCE,
        metavar="SECONDS",
        help="What each check may take. One that takes longer has failed, and the next follows.",
    )


def seconds(text: str) -> float:
    """Read a number of seconds from the command line."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= LONGEST:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of more than 0 and at most {LONGEST:g}"
        )
    return value


def list_choices(category: str | None) -> int:
    """Say what can be typed next."""
    if category is None:
        lines = [f"{sys.argv[0]} category action [<args>]", "Available categories:"]
        lines += [f"\t{name}" for name in CATEGORIES]
    else:
        lines = [f"{sys.argv[0]} {category} action [<args>]", "Available actions:"]
        lines += [f"\t{name}" for name in CATEGORIES[category]]
    print("\n".join(lines))
    return USAGE


def check(argv: Sequence[str], *, as_json: bool, patience: float) -> int:
    """Look at everything and print the results.

    :param patience: seconds that each check may take.
    :returns: the worst result.
    """
    from glance.checks.results import Level, Outcome
    from glance.checks.running import run as run_checks
    from glance.checks.setting import Setting
    from glance.db.columns import utcnow
    from glance.services.logmask import clean

    try:
        loaded = load(NAME, argv, extra_cli=add_arguments)
    except ConfigError as error:
        told = f"{error.message}\nNothing else was looked at."
        return report([Outcome("Configuration Files", Level.FAILURE, told)], as_json)
    line = cli.parse(PROGRAMS[NAME], argv, add_arguments)
    given = [f"--config-file={path}" for path in line.files]
    given += [f"--config-dir={path}" for path in line.directories]
    setting = Setting(loaded, utcnow(), patience, tuple(given))
    return report(run_checks(all_checks(), setting, clean), as_json)


def all_checks() -> list[Check]:
    """Return the checks in their order: the three of release 33.0.0, by their names, then ours."""
    from glance.checks import (
        access,
        caching,
        catalogue,
        configuration,
        database,
        places,
        storage,
    )
    from glance.checks.running import Check

    database_, stores = "Database Schema", "Stores"
    return [
        Check("Sheepdog Driver Removal", configuration.thd_sheepdog),
        Check("Policy File JSON to YAML Migration", access.thd_policy_format),
        Check("Config option owner_is_tenant removal", configuration.thd_owner_is_tenant),
        Check("Configuration Options", configuration.thd_options),
        Check("Authentication", access.thd_authentication),
        Check("Policy Rules", access.thd_policy_rules),
        Check("Property Protection", partial(access.thd_protection, _load_protection)),
        Check("TLS Certificates", partial(access.thd_certificates, _make_tls)),
        Check("Directories", places.thd_directories),
        Check(database_, database.thd_schema),
        Check(stores, storage.thd_stores),
        Check("Image Cache", partial(caching.thd_cache, _choose_cache_index)),
        Check("Image Locations", catalogue.thd_locations, needs=database_),
        Check("Pending Deletes", catalogue.thd_pending_deletes, needs=database_),
        Check("Work In Progress", catalogue.thd_work, needs=database_),
    ]


def _load_protection(conf: Any, rules: Any) -> Any:
    from glance.services.access import thd_load_protection

    return thd_load_protection(conf, rules)


def _choose_cache_index(conf: Any) -> str | None:
    from glance.services.cache_check import check_cache_options

    return check_cache_options(conf)


def _make_tls(conf: Any, warn: Callable[[str], None]) -> Any:
    from glance.services.tls import thd_make_tls

    return thd_make_tls(conf, warn)


def report(outcomes: Sequence[Outcome], as_json: bool) -> int:
    """Print results.

    :returns: the worst of them.
    """
    from oslo_upgradecheck import upgradecheck

    def result(outcome: Outcome, commands: object) -> upgradecheck.Result:
        return upgradecheck.Result(upgradecheck.Code(outcome.level), outcome.details)

    class Commands(upgradecheck.UpgradeCommands):
        _upgrade_checks = tuple((outcome.name, partial(result, outcome)) for outcome in outcomes)

    # Where the library looks for --json; it would otherwise load the configuration itself.
    options: Any = SimpleNamespace(command=SimpleNamespace(json=as_json))
    upgradecheck.CONF = options
    return int(Commands().check())


def leave_hanging(code: int) -> None:
    """End the process at once if a check hangs that nothing can interrupt."""
    from glance.checks.running import hangs

    if hangs():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
