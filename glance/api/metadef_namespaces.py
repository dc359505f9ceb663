"""Namespaces of metadata definitions: list, create, show, change, delete."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.links import absolute
from glance.api.metadefs import NAMESPACE, NAMESPACES, MetadefsResource
from glance.api.parameters import NAMESPACES_PARAMETERS
from glance.api.routing import NO_CONTENT, Reply, json_reply, query_pairs, read_json, route
from glance.api.settings import ApiSettings
from glance.api.streaming import StreamingRequest
from glance.db import metadef_namespaces
from glance.db.metadef_listing import thd_list
from glance.db.txdbapi import Database
from glance.domain.listing import page_links
from glance.domain.metadefs.listing import parse_namespaces_query
from glance.domain.metadefs.model import Namespace
from glance.domain.metadefs.parsing import parse_namespace, parse_namespace_change
from glance.domain.metadefs.rendering import (
    PATH,
    path_of,
    render_entry,
    render_namespace,
    render_namespaces,
    render_whole,
)
from glance.domain.viewer import Viewer
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy

#: Sees what was made, whoever made it.
EVERYTHING = Viewer(is_admin=True)

#: What a new namespace takes beside ``add_metadef_namespace``, by what it defines.
_RULES_OF_PARTS = {
    "associations": "add_metadef_resource_type_association",
    "objects": "add_metadef_object",
    "properties": "add_metadef_property",
    "tags": "add_metadef_tag",
}

#: What showing all of a namespace takes beside ``get_metadef_namespace``.
_RULES_OF_WHOLE = (
    "get_metadef_objects",
    "list_metadef_resource_types",
    "get_metadef_properties",
    "get_metadef_tags",
)


class MetadefNamespacesResource(MetadefsResource):
    """The routes ``/metadefs/namespaces`` and ``/metadefs/namespaces/{namespace_name}``."""

    def __init__(self, database: Database, policy: IPolicy, settings: ApiSettings) -> None:
        super().__init__(database, policy)
        self._settings = settings

    @route(
        "GET",
        NAMESPACES,
        policies=("get_metadef_namespaces", "list_metadef_resource_types", "get_metadef_namespace"),
        errors=(403, 404),
        reply="metadef_namespaces",
        parameters=NAMESPACES_PARAMETERS,
    )
    async def list(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """List namespaces of metadata definitions, a page at a time."""
        pairs = query_pairs(request)
        query = parse_namespaces_query(
            pairs,
            limit_default=self._settings.limit_param_default,
            limit_max=self._settings.api_limit_max,
        )
        self._policy.check_metadefs(context, "get_metadef_namespaces")
        self._policy.check_metadefs(context, "list_metadef_resource_types")
        page = await self._database.runReading(thd_list, query, context.viewer)
        full = bool(page) and len(page) == query.limit
        # Of the page as it was read: what the policy hides has its place in the order all the same.
        first, following = page_links(pairs, page[-1].name if full else None, PATH)
        visible = self._policy.visible_namespaces(context, page)
        return json_reply(render_namespaces(map(render_entry, visible), first, following))

    @route(
        "POST",
        NAMESPACES,
        policies=("add_metadef_namespace", *_RULES_OF_PARTS.values()),
        success=(201,),
        errors=(404, 409),
        request="new_metadef_namespace",
        reply="metadef_namespace",
    )
    async def create(self, request: StreamingRequest, context: RequestContext) -> Reply:
        """Create a namespace, with all that it is to define."""
        namespace = parse_namespace(read_json(request), context.project_id)
        check = self._policy.check_new_namespace
        check(context, "add_metadef_namespace", namespace)
        for part, rule in _RULES_OF_PARTS.items():
            if getattr(namespace, part):
                check(context, rule, namespace)

        def thd_create(connection: Connection) -> Namespace:
            metadef_namespaces.thd_insert(connection, namespace)
            return metadef_namespaces.thd_get_whole(connection, namespace.name, EVERYTHING)

        made = await self._database.runInteraction(thd_create)
        location = absolute(request, self._settings.public_endpoint, path_of(made.name))
        return json_reply(render_whole(made), 201, ("Location", location))

    @route(
        "GET",
        NAMESPACE,
        no_body=True,
        policies=("get_metadef_namespace", *_RULES_OF_WHOLE),
        errors=(403, 404),
        reply="metadef_namespace",
        parameters=("resource_type",),
    )
    async def show(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Show a namespace with all that it defines."""
        wanted = dict(query_pairs(request)).get("resource_type")
        namespace = await self._database.runReading(
            metadef_namespaces.thd_get_whole, namespace_name, context.viewer
        )
        for rule in ("get_metadef_namespace", *_RULES_OF_WHOLE):
            self._policy.check_metadefs(context, rule, namespace)
        return json_reply(render_whole(namespace, wanted))

    @route(
        "PUT",
        NAMESPACE,
        policies=("modify_metadef_namespace",),
        errors=(404, 409),
        request="metadef_namespace_change",
        reply="metadef_namespace",
    )
    async def update(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Change a namespace; what it defines stays as it is."""
        change = parse_namespace_change(read_json(request), context.project_id)

        def thd_update(connection: Connection) -> Namespace:
            rule = "modify_metadef_namespace"
            before = self._thd_take(connection, context, namespace_name, rule)
            return metadef_namespaces.thd_update(connection, before, change)

        return json_reply(render_namespace(await self._database.runInteraction(thd_update)))

    @route(
        "DELETE",
        NAMESPACE,
        no_body=True,
        policies=("delete_metadef_namespace",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Delete a namespace with all that it defines."""

        def thd_delete(connection: Connection) -> None:
            rule = "delete_metadef_namespace"
            namespace = self._thd_take(connection, context, namespace_name, rule, deleting=True)
            metadef_namespaces.thd_delete(connection, namespace)

        await self._database.runInteraction(thd_delete)
        return NO_CONTENT
