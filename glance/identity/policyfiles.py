"""Policy files: from YAML or JSON to rules with the lines on which they stand.

YAML alone would take ``delete_image:`` and ``delete_image: !`` for an empty check, which lets
everybody; and it forgets where things stood. So a file is taken apart as nodes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from glance.domain.errors import ConfigError
from glance.domain.text import shorten
from glance.identity.checks import CheckText

_TEXT = "tag:yaml.org,2002:str"
_NULL = "tag:yaml.org,2002:null"


@dataclass(frozen=True, slots=True)
class FileRule:
    """A rule as it stands in a file.

    :param line: counted from 1; ``None`` where it is not known.
    """

    name: str
    text: CheckText
    path: str
    line: int | None = None

    @property
    def place(self) -> str:
        """Where it stands, as the beginning of a message."""
        return self.path if self.line is None else f"{self.path} line {self.line}"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """What stands in a file.

    :param rules: in order; the last one of a name counts.
    :param is_json: whether it is JSON, the form that files had up to release 18.
    """

    rules: tuple[FileRule, ...]
    is_json: bool


def thd_read(path: str) -> PolicyFile:
    """Read a policy file.

    :raises ConfigError: it cannot be read, or is not a mapping of names to checks.
    """
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise ConfigError(f"Policy file {path}: cannot be read: {reason}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"Policy file {path}: is not text in UTF-8.") from None
    values = _json_object(text)
    if values is not None:
        return PolicyFile(tuple(_from_json(path, values)), is_json=True)
    return PolicyFile(tuple(_from_yaml(path, text)), is_json=False)


class _Members(list[tuple[str, Any]]):
    """The members of a JSON object, in order, those of one name too."""


def _json_object(text: str) -> _Members | None:
    """Return the members of a JSON object; ``None`` for what is no such thing."""
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text, object_pairs_hook=_Members)
    except ValueError:
        return None
    return value if isinstance(value, _Members) else None


def _from_json(path: str, members: _Members) -> Iterator[FileRule]:
    for name, value in members:
        if not isinstance(value, str) and not _is_list(value):
            raise ConfigError(
                f"Policy file {path}: the check of rule {shorten(name)} must be text in quotes."
            )
        yield FileRule(name, value, path)


def _is_list(value: Any) -> bool:
    return type(value) is list and all(isinstance(part, str) or _is_list(part) for part in value)


def _from_yaml(path: str, text: str) -> Iterator[FileRule]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = f" line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"Policy file {path}{line}: is not YAML: {error.problem}.") from None
    except yaml.YAMLError:
        raise ConfigError(f"Policy file {path}: is not YAML.") from None
    if root is None or root.tag == _NULL:
        return
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f'Policy file {path}: must be made of lines such as "rule": "check".')
    for key, value in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag != _TEXT:
            raise ConfigError(f"Policy file {path} line {line}: the name of a rule must be text.")
        try:
            check = _plain(value)
        except ValueError as problem:
            raise ConfigError(
                f"Policy file {path} line {line}: the check of rule {shorten(key.value)} {problem}."
            ) from None
        yield FileRule(key.value, check, path, line)


def _plain(node: yaml.Node) -> CheckText:
    """Return a node's text, or its lists of texts.

    :raises ValueError: it is something else.
    """
    if isinstance(node, yaml.SequenceNode):
        return [_plain(part) for part in node.value]
    if not isinstance(node, yaml.ScalarNode):
        raise ValueError("must be text")
    if node.tag == _NULL and not node.value:
        raise ValueError('is missing: write "@" for everybody or "!" for nobody, in quotes')
    if node.tag != _TEXT:
        raise ValueError("must be text; put it in quotes")
    return str(node.value)
