"""The properties that a namespace of metadata definitions defines."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.metadefs import NAMESPACE, MetadefsResource
from glance.api.routing import NO_CONTENT, Reply, json_reply, query_pairs, read_json, route
from glance.api.streaming import StreamingRequest
from glance.db import metadef_types
from glance.db.metadef_parts import PROPERTIES
from glance.domain.errors import NotFound
from glance.domain.metadefs.model import Property
from glance.domain.metadefs.parsing import parse_property
from glance.domain.metadefs.rendering import render_properties, render_property
from glance.domain.text import shorten
from glance.identity.context import RequestContext

_PROPERTIES = f"{NAMESPACE}/properties"
_PROPERTY = f"{_PROPERTIES}/<property_name>"


class MetadefPropertiesResource(MetadefsResource):
    """The routes ``/metadefs/namespaces/{namespace_name}/properties``."""

    @route(
        "GET",
        _PROPERTIES,
        no_body=True,
        policies=("get_metadef_properties", "get_metadef_property"),
        errors=(403, 404),
        reply="metadef_properties",
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """List the properties of a namespace."""
        found = await self._look(
            context,
            namespace_name,
            ("get_metadef_properties", "get_metadef_property"),
            PROPERTIES.thd_list,
        )
        return json_reply({"properties": render_properties(found)})

    @route(
        "POST",
        _PROPERTIES,
        policies=("add_metadef_property",),
        success=(201,),
        errors=(404, 409),
        request="new_metadef_property",
        reply="metadef_property",
    )
    async def create(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Add a property to a namespace."""
        new = parse_property(read_json(request))
        await self._change(
            context, namespace_name, ("add_metadef_property",), PROPERTIES.thd_insert, [new]
        )
        return json_reply(render_property(new), 201)

    @route(
        "DELETE",
        _PROPERTIES,
        no_body=True,
        policies=("delete_metadef_namespace",),
        success=(204,),
        errors=(404,),
    )
    async def delete_all(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Delete all properties of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("delete_metadef_namespace",),
            PROPERTIES.thd_delete_all,
            deleting=True,
        )
        return NO_CONTENT

    @route(
        "GET",
        _PROPERTY,
        policies=("get_metadef_property",),
        errors=(403, 404),
        reply="metadef_property",
        parameters=("resource_type",),
    )
    async def show(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        property_name: str,
    ) -> Reply:
        """Show one property of a namespace."""
        wanted = dict(query_pairs(request)).get("resource_type")

        def thd_show(connection: Connection) -> Property:
            rule = "get_metadef_property"
            namespace = self._thd_look(connection, context, namespace_name, rule)
            name = property_name
            if wanted is not None:
                association = metadef_types.thd_get(connection, namespace, wanted)
                name = _without(association.prefix or "", property_name)
            return PROPERTIES.thd_get(connection, namespace, name)

        return json_reply(render_property(await self._database.runReading(thd_show)))

    @route(
        "PUT",
        _PROPERTY,
        policies=("modify_metadef_property",),
        errors=(404, 409),
        request="new_metadef_property",
        reply="metadef_property",
    )
    async def update(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        property_name: str,
    ) -> Reply:
        """Put another property in the place of one, perhaps of another name."""
        new = parse_property(read_json(request))
        return json_reply(
            render_property(
                await self._change(
                    context,
                    namespace_name,
                    ("modify_metadef_property",),
                    PROPERTIES.thd_replace,
                    property_name,
                    new,
                )
            )
        )

    @route(
        "DELETE",
        _PROPERTY,
        no_body=True,
        policies=("remove_metadef_property",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        property_name: str,
    ) -> Reply:
        """Delete one property of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("remove_metadef_property",),
            PROPERTIES.thd_delete,
            property_name,
            deleting=True,
        )
        return NO_CONTENT


def _without(prefix: str, name: str) -> str:
    if not name.startswith(prefix):
        raise NotFound(
            f"The name of property {shorten(name)} does not begin with {shorten(prefix)}, as all"
            " do for this resource type."
        )
    return name.removeprefix(prefix)
