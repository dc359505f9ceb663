"""The tags that a namespace of metadata definitions defines."""

from __future__ import annotations

from sqlalchemy import Connection

from glance.api.metadefs import NAMESPACE, MetadefsResource
from glance.api.parameters import TAGS_PARAMETERS
from glance.api.routing import NO_CONTENT, Reply, json_reply, query_pairs, read_json, route
from glance.api.streaming import StreamingRequest
from glance.db.metadef_listing import thd_list_tags
from glance.db.metadef_parts import TAGS
from glance.domain.metadefs.listing import parse_tags_query
from glance.domain.metadefs.model import Tag
from glance.domain.metadefs.parsing import parse_tag, parse_tag_name, parse_tags
from glance.domain.metadefs.rendering import render_tag
from glance.identity.context import RequestContext

_TAGS = f"{NAMESPACE}/tags"
_TAG = f"{_TAGS}/<tag_name>"

#: What ``X-Openstack-Append`` may hold to mean yes.
_YES = frozenset({"true", "t", "yes", "y", "on", "1"})


class MetadefTagsResource(MetadefsResource):
    """The routes ``/metadefs/namespaces/{namespace_name}/tags``."""

    @route(
        "GET",
        _TAGS,
        policies=("get_metadef_tags", "get_metadef_tag"),
        errors=(403, 404),
        reply="metadef_tags",
        parameters=TAGS_PARAMETERS,
    )
    async def list(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """List the tags of a namespace."""
        query = parse_tags_query(query_pairs(request))
        return json_reply(
            _names(
                await self._look(
                    context,
                    namespace_name,
                    ("get_metadef_tags", "get_metadef_tag"),
                    thd_list_tags,
                    query,
                )
            )
        )

    @route(
        "POST",
        _TAGS,
        policies=("add_metadef_tags",),
        success=(201,),
        errors=(404, 409),
        request="new_metadef_tags",
        reply="metadef_tags",
        parameters=("X-OpenStack-Append",),
    )
    async def create_many(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Put tags in the place of those that a namespace has, or beside them."""
        new = parse_tags(read_json(request))
        append = (request.getHeader("X-OpenStack-Append") or "").strip().lower() in _YES

        def thd_create(connection: Connection) -> None:
            namespace = self._thd_take(connection, context, namespace_name, "add_metadef_tags")
            if not append:
                TAGS.thd_delete_all(connection, namespace)
            TAGS.thd_insert(connection, namespace, new)

        await self._database.runInteraction(thd_create)
        return json_reply(_names(new), 201)

    @route(
        "DELETE",
        _TAGS,
        no_body=True,
        policies=("delete_metadef_namespace", "delete_metadef_tags"),
        success=(204,),
        errors=(404,),
    )
    async def delete_all(
        self, request: StreamingRequest, context: RequestContext, namespace_name: str
    ) -> Reply:
        """Delete all tags of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("delete_metadef_namespace", "delete_metadef_tags"),
            TAGS.thd_delete_all,
            deleting=True,
        )
        return NO_CONTENT

    @route(
        "GET",
        _TAG,
        no_body=True,
        policies=("get_metadef_tag",),
        errors=(403, 404),
        reply="metadef_tag",
    )
    async def show(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        tag_name: str,
    ) -> Reply:
        """Show one tag of a namespace."""
        return json_reply(
            render_tag(
                await self._look(
                    context, namespace_name, ("get_metadef_tag",), TAGS.thd_get, tag_name
                )
            )
        )

    @route(
        "POST",
        _TAG,
        no_body=True,
        policies=("add_metadef_tag",),
        success=(201,),
        errors=(404, 409),
        reply="metadef_tag",
    )
    async def create(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        tag_name: str,
    ) -> Reply:
        """Add one tag to a namespace."""
        new = parse_tag_name(tag_name)
        await self._change(context, namespace_name, ("add_metadef_tag",), TAGS.thd_insert, [new])
        return json_reply(render_tag(new), 201)

    @route(
        "PUT",
        _TAG,
        policies=("modify_metadef_tag",),
        errors=(404, 409),
        request="new_metadef_tag",
        reply="metadef_tag",
    )
    async def update(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        tag_name: str,
    ) -> Reply:
        """Rename one tag of a namespace."""
        new = parse_tag(read_json(request))
        return json_reply(
            render_tag(
                await self._change(
                    context,
                    namespace_name,
                    ("modify_metadef_tag",),
                    TAGS.thd_replace,
                    tag_name,
                    new,
                )
            )
        )

    @route(
        "DELETE",
        _TAG,
        no_body=True,
        policies=("delete_metadef_tag",),
        success=(204,),
        errors=(404,),
    )
    async def delete(
        self,
        request: StreamingRequest,
        context: RequestContext,
        namespace_name: str,
        tag_name: str,
    ) -> Reply:
        """Delete one tag of a namespace."""
        await self._change(
            context,
            namespace_name,
            ("delete_metadef_tag",),
            TAGS.thd_delete,
            tag_name,
            deleting=True,
        )
        return NO_CONTENT


def _names(tags: list[Tag]) -> dict[str, list[dict[str, str]]]:
    return {"tags": [{"name": tag.name} for tag in tags]}
