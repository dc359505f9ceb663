"""What the JSON report promises, as a JSON schema."""

from typing import Any

_TEXT = {"type": ["string", "null"]}
_COUNT = {"type": "integer", "minimum": 0}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_KINDS = (
    "missing_data", "no_location", "size_mismatch", "hash_mismatch", "unreachable", "no_hash",
    "orphan", "leftover", "unknown",
)  # fmt: skip
_ACTIONS = ("none", "strike_off", "deactivate", "fill_in_hashes", "set_aside", "remove_leftover")

REPORT = _object(
    format={"const": 1},
    started_at={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    finished_at={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"},
    resumed={"type": "boolean"},
    hashes={"type": "boolean"},
    repair={"enum": ["no", "dry_run", "yes"]},
    stores={
        "type": "array",
        "items": _object(
            id={"type": "string"},
            driver={"type": "string"},
            listed={"type": "boolean"},
            copies=_COUNT,
            objects=_COUNT,
        ),
    },
    summary=_object(
        images=_COUNT,
        copies=_COUNT,
        objects=_COUNT,
        bytes_read=_COUNT,
        busy=_COUNT,
        findings=_object(**dict.fromkeys(_KINDS, _COUNT)),
        repairs=_object(planned=_COUNT, done=_COUNT, refused=_COUNT, failed=_COUNT),
        errors=_COUNT,
        open=_COUNT,
    ),
    findings={
        "type": "array",
        "items": _object(
            kind={"enum": list(_KINDS)},
            severity={"enum": ["error", "warning", "note"]},
            store=_TEXT,
            image=_TEXT,
            location={"type": ["integer", "null"]},
            object=_TEXT,
            expected={"type": "object"},
            found={"type": "object"},
            repair=_object(
                action={"enum": list(_ACTIONS)},
                outcome={"enum": ["none", "not_asked", "planned", "done", "refused", "failed"]},
                detail=_TEXT,
            ),
        ),
    },
    errors={
        "type": "array",
        "items": _object(
            store=_TEXT,
            image=_TEXT,
            location={"type": ["integer", "null"]},
            message={"type": "string"},
        ),
    },
)
