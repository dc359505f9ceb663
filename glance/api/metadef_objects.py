"""The objects that a namespace of metadata definitions defines: properties that go together."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.metadefs import NAMESPACE, MetadefsResource
from glance.api.parameters import OBJECTS_PARAMETERS
from glance.api.routing import NO_CONTENT, Reply, json_reply, query_pairs, read_json, route
from glance.api.streaming import StreamingRequest
from glance.db.metadef_parts import OBJECTS
from glance.domain.metadefs.listing import check_objects_query
from glance.domain.metadefs.model import Object
from glance.domain.metadefs.parsing import parse_object
from glance.domain.metadefs.rendering import render_object
from glance.identity.context import RequestContext

_OBJECTS = f"{NAMESPACE}/objects"
_OBJECT = f"{_OBJECTS}/<object_name>"


class MetadefObjectsResource(MetadefsResource):
    """The routes ``/metadefs/namespaces/{namespace_name}/objects``."""

    @route(
        "GET",
        _OBJECTS,
        policies=("get_metadef_objects", "get_metadef_object"),
        errors=(403, 404),
        reply="metadef_objects",
        parameters=OBJECTS_PARAMETERS,
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """List the objects of a namespace."""
        check_objects_query(query_pairs(request))

        def thd_list(connection: Connection) -> tuple[str, list[Object]]:
            rules = ("get_metadef_objects", "get_metadef_object")
            namespace = self._thd_look(connection, context, namespace_name, *rules)
            return namespace.name, OBJECTS.thd_list(connection, namespace)

        name, found = await self._database.runReading(thd_list)
        objects = [render_object(item, name) for item in found]
        return json_reply({"objects": objects, "schema": "/v2/schemas/metadefs/objects"})

    @route(
        "POST",
        _OBJECTS,
        policies=("add_metadef_object",),
        success=(201,),
        errors=(404, 409),
        request="new_metadef_object",
        reply="metadef_object",
    )
    async def create(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Add an object to a namespace."""
        new = parse_object(read_json(request))
        await self._change(
            context, namespace_name, ("add_metadef_object",), OBJECTS.thd_insert, [new]
        )
        return json_reply(render_object(new, namespace_name), 201)

    @route(
        "DELETE",
        _OBJECTS,
        no_body=True,
        policies=("delete_metadef_namespace",),
        success=(204,),
        errors=(404,),
    )
    async def delete_all(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Delete all objects of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("delete_metadef_namespace",),
            OBJECTS.thd_delete_all,
            deleting=True,
        )
        return NO_CONTENT

    @route(
        "GET",
        _OBJECT,
        no_body=True,
        policies=("get_metadef_object",),
        errors=(403, 404),
        reply="metadef_object",
    )
    async def show(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        object_name: str,
    ) -> Reply:
        """Show one object of a namespace."""
        found = await self._look(
            context, namespace_name, ("get_metadef_object",), OBJECTS.thd_get, object_name
        )
        return json_reply(render_object(found, namespace_name))

    @route(
        "PUT",
        _OBJECT,
        policies=("modify_metadef_object",),
        errors=(404, 409),
        request="new_metadef_object",
        reply="metadef_object",
    )
    async def update(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        object_name: str,
    ) -> Reply:
        """Put another object in the place of one, perhaps of another name."""
        new = parse_object(read_json(request))
        changed = await self._change(
            context,
            namespace_name,
            ("modify_metadef_object",),
            OBJECTS.thd_replace,
            object_name,
            new,
        )
        return json_reply(render_object(changed, namespace_name))

    @route(
        "DELETE",
        _OBJECT,
        no_body=True,
        policies=("delete_metadef_object",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        object_name: str,
    ) -> Reply:
        """Delete one object of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("delete_metadef_object",),
            OBJECTS.thd_delete,
            object_name,
            deleting=True,
        )
        return NO_CONTENT
