"""Turn the stream of results of tempest's runner into JSON, for ``tests/services/tempest.py``.

Runs in the virtual environment that has tempest, whose runner writes subunit and nothing else that
a program can read.
"""

import json
import sys
from typing import Any, BinaryIO

import subunit
from testtools import StreamToDict


def read(stream: BinaryIO) -> list[dict[str, str]]:
    """Return each test's name, status and what was said about that."""
    results: list[dict[str, str]] = []

    def note(test: dict[str, Any]) -> None:
        details = test["details"]
        text = details.get("reason") or details.get("traceback")
        said = text.as_text() if text is not None else ""
        results.append({"name": test["id"], "status": test["status"], "said": said})

    collector = StreamToDict(note)
    collector.startTestRun()
    subunit.ByteStreamToStreamResult(stream).run(collector)
    collector.stopTestRun()
    return results


if __name__ == "__main__":
    json.dump(read(sys.stdin.buffer), sys.stdout)
