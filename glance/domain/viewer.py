"""Who looks at the catalogue, as far as what may be seen depends on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Viewer:
    """The one for whom the catalogue is read.

    :param project_id: the project whose images and shares count as one's own; ``None`` has none.
    :param is_admin: sees every project's images.
    """

    project_id: str | None = None
    is_admin: bool = False
