"""What is wrong with a value that does not fit a JSON schema, in our own words.

The message of the library that finds it would repeat all of a value, whatever its length.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import fastjsonschema

from glance.domain.documents import UUID_PATTERN
from glance.domain.errors import Invalid
from glance.domain.text import shape, shorten


def mismatch(schema: str, detail: str) -> Invalid:
    """Return the error for what does not fit a schema.

    :param schema: its name.
    """
    return Invalid(f"Provided object does not match schema {schema!r}: {detail}")


def check_fits(matches: Callable[[Any], Any], value: Any, schema: str) -> None:
    """Check that a value fits a schema.

    :param matches: what the library made of the schema.
    :param schema: its name.
    :raises Invalid: it does not.
    """
    try:
        matches(value)
    except fastjsonschema.JsonSchemaValueException as error:
        raise mismatch(schema, explain(error)) from None
    except RecursionError:
        # To tell whether a list has something twice, all that is in it is walked first.
        raise mismatch(schema, "it is nested too deeply.") from None


def explain(error: fastjsonschema.JsonSchemaValueException) -> str:
    """Say which value is wrong, and what it should be."""
    field = shorten(str(error.name).removeprefix("data").removeprefix("."))
    given = shape(error.value)
    wanted = error.rule_definition
    if error.rule == "type":
        kinds = wanted if isinstance(wanted, list) else [wanted]
        return f"{field} must be of type {' or '.join(kinds)}, not {given}."
    if error.rule == "enum":
        choices = ", ".join("null" if choice is None else str(choice) for choice in wanted)
        value = error.value
        return (
            f"{field} must be one of {choices},"
            f" not {shorten(value) if isinstance(value, str) else given}."
        )
    if error.rule == "maxLength":
        return f"{field} must be a string of length {wanted} at most, not {given}."
    if error.rule == "required":
        missing = [name for name in wanted if name not in error.value]
        of = "" if error.name == "data" else f" for {field}"
        return f"{', '.join(missing)} must be given{of}."
    if error.rule == "additionalProperties" and wanted is False:
        known = error.definition["properties"]
        unknown = next(name for name in error.value if name not in known)
        return f"{shorten(unknown)} is not one of {', '.join(known)}."
    if error.rule == "pattern":
        form = "be a UUID" if wanted == UUID_PATTERN else f"match {wanted}"
        return f"{field} must {form}."
    return f"{field} breaks the rule {error.rule}: {given} was given."
