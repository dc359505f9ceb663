"""What this service can do: the methods by which images can be imported."""

from __future__ import annotations

from collections.abc import Sequence

from glance.api.routing import Reply, json_reply, route
from glance.api.streaming import StreamingRequest
from glance.identity.context import RequestContext


class InfoResource:
    """The route ``/info/import``.

    :param methods: the import methods that are enabled and can really be used.
    """

    def __init__(self, methods: Sequence[str]) -> None:
        self._methods = list(methods)

    @route("GET", "/info/import", no_body=True, reply="import_info")
    async def show_import(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List the methods by which images can be imported."""
        methods = {
            "description": "Methods by which images can be imported",
            "type": "array",
            "value": self._methods,
        }
        return json_reply({"import-methods": methods})
