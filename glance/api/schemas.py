"""The JSON schemas that describe the API's objects, for clients to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from werkzeug.exceptions import NotFound

from glance.api.routing import Reply, route
from glance.api.streaming import StreamingRequest
from glance.identity.context import RequestContext


class SchemasResource:
    """The routes ``/schemas/…``.

    :param documents: the schemas by name.
    """

    def __init__(self, documents: Mapping[str, Mapping[str, Any]]) -> None:
        self._rendered = {name: orjson.dumps(document) for name, document in documents.items()}

    @route("GET", "/schemas/<name>", no_body=True, errors=(404,), reply="schema")
    async def show(self, request: StreamingRequest, context: RequestContext, name: str) -> Reply:
        """Show one schema."""
        if name not in self._rendered:
            raise NotFound
        return Reply(body=self._rendered[name])

    @route("GET", "/schemas/metadefs/<name>", no_body=True, errors=(404,), reply="schema")
    async def show_metadef(
        self, request: StreamingRequest, context: RequestContext, name: str
    ) -> Reply:
        """Show one schema of metadata definitions."""
        return await self.show(request, context, f"metadefs/{name}")
