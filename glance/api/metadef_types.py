"""Resource types, and which namespaces of metadata definitions are for which of them."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.metadefs import NAMESPACE, MetadefsResource
from glance.api.routing import NO_CONTENT, Reply, json_reply, read_json, route
from glance.api.streaming import StreamingRequest
from glance.db import metadef_types
from glance.domain.metadefs.model import Association
from glance.domain.metadefs.parsing import parse_association
from glance.domain.metadefs.rendering import (
    render_association,
    render_associations,
    render_resource_type,
)
from glance.identity.context import RequestContext

_TYPES = f"{NAMESPACE}/resource_types"


class MetadefTypesResource(MetadefsResource):
    """The routes ``/metadefs/resource_types`` and those of a namespace."""

    @route(
        "GET",
        "/metadefs/resource_types",
        no_body=True,
        policies=("list_metadef_resource_types",),
        errors=(403, 404),
        reply="metadef_resource_types",
    )
    async def list_all(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List all resource types."""
        self._policy.check_metadefs(context, "list_metadef_resource_types")
        found = await self._database.runReading(metadef_types.thd_list_all)
        return json_reply({"resource_types": [render_resource_type(item) for item in found]})

    @route(
        "GET",
        _TYPES,
        no_body=True,
        policies=("list_metadef_resource_types", "get_metadef_resource_type"),
        errors=(403, 404),
        reply="metadef_associations",
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """List the resource types that a namespace is for."""

        def thd_list(connection: Connection) -> list[Association]:
            rules = ("list_metadef_resource_types", "get_metadef_resource_type")
            namespace = self._thd_look(connection, context, namespace_name, *rules)
            return metadef_types.thd_list(connection, namespace)

        found = await self._database.runReading(thd_list)
        return json_reply({"resource_type_associations": render_associations(found)})

    @route(
        "POST",
        _TYPES,
        policies=("add_metadef_resource_type_association",),
        success=(201,),
        errors=(404, 409),
        request="new_metadef_association",
        reply="metadef_association",
    )
    async def associate(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Say that a namespace is for a resource type, which need not be known yet."""
        association = parse_association(read_json(request))

        def thd_associate(connection: Connection) -> Association:
            rule = "add_metadef_resource_type_association"
            namespace = self._thd_take(connection, context, namespace_name, rule)
            return metadef_types.thd_associate(connection, namespace, association)

        made = await self._database.runInteraction(thd_associate)
        return json_reply(render_association(made), 201)

    @route(
        "DELETE",
        f"{_TYPES}/<resource_type_name>",
        no_body=True,
        policies=("remove_metadef_resource_type_association",),
        success=(204,),
        errors=(404,),
    )
    async def dissociate(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        resource_type_name: str,
    ) -> Reply:
        """Say that a namespace is no longer for a resource type."""

        def thd_dissociate(connection: Connection) -> None:
            rule = "remove_metadef_resource_type_association"
            namespace = self._thd_take(connection, context, namespace_name, rule, deleting=True)
            metadef_types.thd_dissociate(connection, namespace, resource_type_name)

        await self._database.runInteraction(thd_dissociate)
        return NO_CONTENT
