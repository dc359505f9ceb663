"""What the API takes can be exported to a file, and loaded from there again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from glance.db import metadef_namespaces, schema
from glance.db.engine import make_engine
from glance.db.metadef_definitions import thd_load, thd_read, thd_unload
from glance.db.oneshot import Transactions
from glance.domain.errors import GlanceError
from glance.domain.metadefs.changes import Mode
from glance.domain.metadefs.definition import Definition
from glance.domain.metadefs.files import read, render
from glance.domain.metadefs.model import PROPERTY_FIELDS, Namespace
from glance.domain.metadefs.names import TYPES
from glance.domain.metadefs.parsing import parse_namespace, parse_object, parse_property, parse_tags
from glance.domain.metadefs.rendering import render_whole
from glance.domain.viewer import Viewer

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip

# Most of what follows is taken; what is at the edge may be refused.
TEXTS = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF), max_size=6)
NAMES = st.sampled_from(["a", "A", "b", "b" * 80, "é", "a,b", " "]) | TEXTS
WORDS = st.lists(NAMES, min_size=1, max_size=3)
NUMBERS = st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
COUNTS = st.integers(0, 2**31) | st.just(1.0)
FITTING: dict[str, Any] = {
    **dict.fromkeys(("title", "description", "pattern"), TEXTS),
    **dict.fromkeys(("operators", "required", "enum"), WORDS),
    **dict.fromkeys(("minimum", "maximum"), NUMBERS),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), COUNTS),
    **dict.fromkeys(("readonly", "confidential", "uniqueItems", "additionalItems"), st.booleans()),
    "default": TEXTS | NUMBERS | st.booleans() | st.none(),
    "items": st.fixed_dictionaries({"type": st.sampled_from(TYPES)}, optional={"enum": WORDS}),
}
SCHEMAS = st.fixed_dictionaries(
    {"title": TEXTS, "type": st.sampled_from(TYPES)},
    optional={name: values for name, values in FITTING.items() if name != "title"},
)
PROPERTIES = st.dictionaries(NAMES, SCHEMAS, max_size=2)
OBJECTS = st.fixed_dictionaries(
    {"name": NAMES},
    optional={
        "description": TEXTS,
        "required": WORDS,
        "properties": PROPERTIES,
    },
)
NAMESPACES = st.fixed_dictionaries(
    {"namespace": NAMES},
    optional={
        "display_name": TEXTS,
        "description": TEXTS,
        "visibility": st.sampled_from(["public", "private"]),
        "protected": st.booleans(),
        "owner": TEXTS,
        "properties": PROPERTIES,
        "objects": st.lists(OBJECTS, max_size=2),
        "tags": st.lists(st.fixed_dictionaries({"name": NAMES}), max_size=2),
        "resource_type_associations": st.lists(
            st.fixed_dictionaries({"name": NAMES}, optional={"prefix": TEXTS}), max_size=2
        ),
    },
)
ADMIN = Viewer(is_admin=True)


@pytest.fixture(scope="module")
def transactions() -> Iterator[Transactions]:
    """An empty catalogue in memory."""
    engine = make_engine("sqlite://")
    schema.thd_sync(engine)
    with Transactions.thd_on(engine) as made:
        yield made
    engine.dispose()


def shown(transactions: Transactions, name: str) -> Any:
    """Return what the API shows of a namespace, but for times."""

    def undated(value: Any) -> Any:
        if isinstance(value, list):
            return [undated(item) for item in value]
        if isinstance(value, dict):
            return {
                k: undated(v) for k, v in value.items() if k not in ("created_at", "updated_at")
            }
        return value

    return undated(
        render_whole(transactions.thd_run(metadef_namespaces.thd_get_whole, name, ADMIN))
    )


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMESPACES)
@example({"namespace": "a", "objects": [{"name": "a", "required": ["b" * 81]}]})
@example({"namespace": "a", "objects": [{"name": "a", "description": "x" * 65536}]})
@example({"namespace": "a", "properties": {"a": {"title": "\0", "type": "string"}}})
@example(
    {"namespace": "a", "properties": {"a": {"title": "a", "type": "number", "maximum": 2**63}}}
)
@example(
    {"namespace": "a", "properties": {"a": {"title": "a", "type": "string", "enum": ["x" * 65500]}}}
)
def test_whatever_the_api_takes(transactions: Transactions, body: dict[str, Any]) -> None:
    try:
        namespace = parse_namespace(body, "p1")
    except GlanceError:
        return
    transactions.thd_run(thd_unload)
    transactions.thd_run(metadef_namespaces.thd_insert, namespace)
    before = shown(transactions, namespace.name)
    definition = transactions.thd_run(thd_read, namespace.name)
    assert isinstance(definition, Definition)
    again, ignored = read(render(definition))
    assert ignored == []
    transactions.thd_run(thd_unload)
    transactions.thd_run(thd_load, again, Mode.SKIP)
    after = shown(transactions, namespace.name)
    assert after == before


@given(st.dictionaries(st.sampled_from(["name", "title", "tags", *PROPERTY_FIELDS]), JSON) | JSON)
@example({"tags": [3]})
@example({"tags": [None]})
@example({"tags": [["name"]]})
@example({"name": "a", "properties": {"a": None}})
def test_any_body_makes_something_or_a_plain_refusal(body: object) -> None:
    for parse in (parse_tags, parse_object, parse_property, parse_namespace_of):
        try:
            parse(body)
        except GlanceError as error:
            assert error.message


def parse_namespace_of(body: object) -> Namespace:
    named = {"namespace": "a", **body} if isinstance(body, dict) else body
    return parse_namespace(named, None)
