"""The file ``schema-image.json``: what an operator says of custom properties."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glance.domain.errors import ConfigError

NAME = "schema-image.json"


def thd_read(conf: Any) -> Mapping[str, Any] | None:
    """Read the file, if there is one beside the configuration files or in their usual places.

    :param conf: the loaded configuration.
    :returns: its content, of which ``glance.domain.documents.split_custom`` makes sense.
    :raises ConfigError: it cannot be read or is no JSON object.
    """
    found = conf.find_file(NAME)
    if found is None:
        return None
    path = Path(found)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise ConfigError(f"{path} is not valid JSON: {error}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path} must hold a JSON object of property names and schemas.")
    return content
