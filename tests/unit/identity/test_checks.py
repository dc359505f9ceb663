"""Checks that cannot be meant are refused with the reason."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from glance.identity.checks import parse, walk


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("admin", "'admin' is neither kind:value"),
        ("role:admin or admin", "'admin' is neither kind:value"),
        ("'quoted'", "\"'quoted'\" is neither"),
        ("  ", "do not add up"),
        ("role:a or", "do not add up"),
        ("! and", "do not add up"),
        ("role:a role:b", "do not add up"),
        ("(role:a", "do not add up"),
        ("not", "do not add up"),
        ("'role:a'", "do not add up"),
        ("http://policy.example/%(id)s", "checks of the kind http: are not supported"),
        ("role:a or not (role:b and https://x)", "checks of the kind https: are not supported"),
        ("project_id:%(owner)", "do not add up"),
        ("project_id:%owner", "neither %\\(name\\)s nor %%"),
        ("project_id:%(owner)d", "neither %\\(name\\)s nor %%"),
        ("role:100%", "neither %\\(name\\)s nor %%"),
        (":x", "neither with a credential nor with a literal"),
        ("class:x", "neither with a credential nor with a literal"),
        ("'open:%(visibility)s", "neither with a credential nor with a literal"),
        ([["role:a", ["b:c"]]], "a list holds checks"),
        ([["role:a"], ["nonsense"]], "'nonsense' is neither"),
    ],
)
def test_a_check_that_cannot_be_used(
    text: Any, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(ValueError, match=said):
        parse(text)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", "@"),
        ("@", "@"),
        ("!", "!"),
        ([], "@"),
        ([["role:a", "b:c"], "d:e"], "((role:a and b:c) or d:e)"),
        ("role:a OR (NOT b:c)", "(role:a or not b:c)"),
        ("role:a or b:c and d:e", "(role:a or (b:c and d:e))"),
        ("'public':%(visibility)s", "'public':%(visibility)s"),
        ("True:%(protected)s and x:50%%", "(True:%(protected)s and x:50%%)"),
        ("x:%(hw:cpu)s", "x:%(hw:cpu)s"),
        ("a:b:c", "a:b:c"),
    ],
)
def test_a_check_that_can(text: Any, tree: str) -> None:
    assert str(parse(text)) == tree


def test_a_tree_is_walked_through_everything_in_it() -> None:
    parts = [str(part) for part in walk(parse("not (a:b and (c:d or not e:f))"))]
    assert [part for part in parts if " " not in part] == ["a:b", "c:d", "e:f"]
