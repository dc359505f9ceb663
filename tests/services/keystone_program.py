"""Keystone in one process, for ``tests/services/keystone.py``: make what it needs, then serve.

Runs in the virtual environment that has Keystone. To import Keystone takes seconds, which its own
programs would each pay; here they are forked off a process that has done so.

Usage: keystone_program.py DIRECTORY PORT PASSWORD SECONDS

The last is how long tokens are valid.
"""

import base64
import os
import sys
from pathlib import Path
from typing import Any, TextIO

import waitress
from keystone import conf
from keystone.cmd import cli
from keystone.server import wsgi

CONFIGURATION = """
[database]
connection = sqlite:///{directory}/keystone.sqlite
[fernet_tokens]
key_repository = {directory}/fernet
[token]
expiration = {lifetime}
[identity]
# Tests authenticate often, and their passwords are worth nothing.
password_hash_rounds = 4
[cache]
# Without one, hundreds of statements are run for each token. This is the only process.
enabled = true
backend = oslo_cache.dict
"""


def manage(configuration: Path, *arguments: str) -> None:
    """Run ``keystone-manage`` in a process of its own."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            cli.main(["keystone-manage", "--config-file", str(configuration), *arguments])
            code = 0
        finally:
            os._exit(code)
    if os.waitpid(pid, 0)[1] != 0:
        sys.exit(f"keystone-manage {arguments[0]} failed")


def prepare(directory: Path, configuration: Path, password: str) -> None:
    """Make keys, schema and the first administrator."""
    keys = directory / "fernet"
    keys.mkdir(mode=0o700)
    for name in ("0", "1"):
        (keys / name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))
    manage(configuration, "db_sync")
    manage(configuration, "bootstrap", "--bootstrap-password", password)


def observed(application: Any, record: TextIO) -> Any:
    """Wrap Keystone: note each request, and let one ask for a token of another lifetime.

    There is one thread, so what is set for one request concerns no other.
    """

    def call(environ: dict[str, Any], start_response: Any) -> Any:
        def noted(status: str, *rest: Any) -> Any:
            target = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}"
            record.write(f"{target} {status.split()[0]}\n")
            return start_response(status, *rest)

        lifetime = environ.pop("HTTP_X_TOKEN_LIFETIME", None)
        if lifetime is None:
            return application(environ, noted)
        conf.CONF.set_override("expiration", int(lifetime), "token")
        try:
            return application(environ, noted)
        finally:
            conf.CONF.clear_override("expiration", "token")

    return call


def main() -> None:
    """Serve until told to end."""
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    password, lifetime = sys.argv[3], int(sys.argv[4])
    # Keystone reads the command line too.
    del sys.argv[1:]
    configuration = directory / "keystone.conf"
    configuration.write_text(CONFIGURATION.format(directory=directory, lifetime=lifetime))
    if not (directory / "fernet").exists():
        prepare(directory, configuration, password)
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(configuration)
    with (directory / "requests").open("a", buffering=1) as record:
        waitress.serve(
            observed(wsgi.initialize_public_application(), record),
            host="127.0.0.1",
            port=port,
            threads=1,
            connection_limit=900,
            asyncore_use_poll=True,
        )


if __name__ == "__main__":
    main()
