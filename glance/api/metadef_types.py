"""Resource types, and which namespaces of metadata definitions are for which of them."""

from __future__ import annotations

from glance.api.metadefs import NAMESPACE, MetadefsResource
from glance.api.routing import NO_CONTENT, Reply, json_reply, read_json, route
from glance.api.streaming import StreamingRequest
from glance.db import metadef_types
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
        found = await self._look(
            context,
            namespace_name,
            ("list_metadef_resource_types", "get_metadef_resource_type"),
            metadef_types.thd_list,
        )
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
        made = await self._change(
            context,
            namespace_name,
            ("add_metadef_resource_type_association",),
            metadef_types.thd_associate,
            association,
        )
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
        await self._change(
            context,
            namespace_name,
            ("remove_metadef_resource_type_association",),
            metadef_types.thd_dissociate,
            resource_type_name,
            deleting=True,
        )
        return NO_CONTENT
