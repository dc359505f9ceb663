"""What a service is to be, by a configuration that was found good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glance.config import Loaded
from glance.services.listening import Wanted

if TYPE_CHECKING:
    # They load libraries that leave traces in the home directory; what is wrong with the
    # configuration is told before that.
    from glance.services.prepared import Prepared
    from glance.stores.registry import Stores


@dataclass(frozen=True, slots=True)
class Plan:
    """A service to be.

    :param prepared: the content of the files that the configuration names.
    :param stores: the configured stores, not started.
    :param wanted: the ports, by the names of :class:`glance.services.listening.Listeners`.
    :param count: of worker processes, 0 to serve in this one.
    """

    loaded: Loaded
    prepared: Prepared
    stores: Stores
    wanted: Mapping[str, Wanted]
    count: int

    @property
    def shutdown_time(self) -> float:
        """Seconds that requests get to be finished when the service ends; 0 for any time."""
        return float(self.loaded.conf.graceful_shutdown_timeout)

    @property
    def reload_time(self) -> float:
        """The same for processes that others have taken over from."""
        return float(self.loaded.conf.graceful_reload_timeout)
