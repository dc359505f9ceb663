"""What stands in a policy file, and on which line; and what may not stand there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from glance.domain.errors import ConfigError
from glance.identity.policyfiles import FileRule, thd_read


def read(tmp_path: Path, text: str | bytes) -> Any:
    path = tmp_path / "policy"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return thd_read(str(path))


def test_yaml(tmp_path: Path) -> None:
    found = read(tmp_path, '# words\n"a": "role:x"\n\nb: role:y or role:z\nc: ""\nd: [[role:q]]\n')
    path = str(tmp_path / "policy")
    assert found.rules == (
        FileRule("a", "role:x", path, 2),
        FileRule("b", "role:y or role:z", path, 4),
        FileRule("c", "", path, 5),
        FileRule("d", [["role:q"]], path, 6),
    )
    assert not found.is_json
    assert found.rules[1].place == f"{path} line 4"


def test_json_with_tabs_which_yaml_does_not_take(tmp_path: Path) -> None:
    found = read(tmp_path, '{\n\t"a": "role:x",\n\t"b": [["role:y"]], "c": []\n}')
    path = str(tmp_path / "policy")
    assert found.is_json
    assert found.rules == (
        FileRule("a", "role:x", path),
        FileRule("b", [["role:y"]], path),
        FileRule("c", [], path),
    )
    assert found.rules[0].place == path


def test_the_last_of_two_comes_last(tmp_path: Path) -> None:
    for text in ("a: x:y\na: x:z\n", '{"a": "x:y", "a": "x:z"}'):
        assert [rule.text for rule in read(tmp_path, text).rules] == ["x:y", "x:z"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "{}"])
def test_nothing(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text).rules == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: x:y\nb:\n", "line 2: the check of rule 'b' is missing: write \"@\" for everybody"),
        ("a: !\n", "line 1: the check of rule 'a' is missing"),
        ("a: ~\n", "line 1: the check of rule 'a' must be text; put it in quotes"),
        ("a: true\n", "must be text; put it in quotes"),
        ("a: 1\n", "must be text; put it in quotes"),
        ("a: !!set {}\n", "must be text"),
        ("a: {b: c}\n", "must be text"),
        ("a: [[true]]\n", "must be text; put it in quotes"),
        ("1: x\n", "line 1: the name of a rule must be text"),
        ("[a]: x\n", "line 1: the name of a rule must be text"),
        ("x: y\na: @\n", "line 2: is not YAML: found character '@' that cannot start any token"),
        ("a: 'x\n", "is not YAML"),
        ("a: x\n---\nb: y\n", "is not YAML"),
        ("a: \x07\n", "is not YAML"),
        ("- a\n", 'must be made of lines such as "rule": "check"'),
        ("words\n", "must be made of lines"),
        ('{"a": true}', "the check of rule 'a' must be text in quotes"),
        ('{"a": {}}', "the check of rule 'a' must be text in quotes"),
        ('{"a": [{}]}', "the check of rule 'a' must be text in quotes"),
        ('{"a": null}', "the check of rule 'a' must be text in quotes"),
        (b"a: \xff\n", "is not text in UTF-8"),
    ],
)
def test_what_cannot_be_meant(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)
    assert caught.value.message.startswith(f"Policy file {tmp_path / 'policy'}")
    assert said in caught.value.message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="/gone: cannot be read: no such file or directory"):
        thd_read(str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match="cannot be read: is a directory"):
        thd_read(str(tmp_path))
