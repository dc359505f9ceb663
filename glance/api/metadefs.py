"""What the resources of metadata definitions have in common: the namespace comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from glance.db import metadef_namespaces
from glance.db.txdbapi import Database
from glance.domain.errors import Forbidden
from glance.domain.metadefs.model import Namespace
from glance.domain.text import shorten
from glance.identity.context import RequestContext
from glance.identity.policy import IPolicy

T = TypeVar("T")

NAMESPACES = "/metadefs/namespaces"
NAMESPACE = f"{NAMESPACES}/<namespace_name>"


class MetadefsResource:
    """A resource about something in namespaces."""

    def __init__(self, database: Database, policy: IPolicy) -> None:
        self._database = database
        self._policy = policy

    async def _look(
        self,
        context: RequestContext,
        name: str,
        rules: tuple[str, ...],
        thd_read: Callable[..., T],
        *details: Any,
    ) -> T:
        """Read something of a namespace, if the caller may.

        :param rules: see :meth:`_thd_look`, which also says what is raised.
        :param thd_read: called with the connection, the namespace and ``details``.
        """

        def thd_look(connection: Connection) -> T:
            namespace = self._thd_look(connection, context, name, *rules)
            return thd_read(connection, namespace, *details)

        return await self._database.runReading(thd_look)

    async def _change(
        self,
        context: RequestContext,
        name: str,
        rules: tuple[str, ...],
        thd_work: Callable[..., T],
        *details: Any,
        deleting: bool = False,
    ) -> T:
        """Change something in a namespace, if the caller may.

        :param rules: see :meth:`_thd_take`, which also says what is raised.
        :param thd_work: called with the connection, the namespace and ``details``.
        """

        def thd_change(connection: Connection) -> T:
            namespace = self._thd_take(connection, context, name, *rules, deleting=deleting)
            return thd_work(connection, namespace, *details)

        return await self._database.runInteraction(thd_change)

    def _thd_look(
        self, connection: Connection, context: RequestContext, name: str, *rules: str
    ) -> Namespace:
        """Read a namespace in which the caller wants to look at something.

        :param rules: what the policy is asked beside ``get_metadef_namespace``.
        :raises NotFound: there is none, or the caller may not know of it.
        :raises Forbidden: the caller may not.
        """
        namespace = metadef_namespaces.thd_get(connection, name, context.viewer)
        for rule in ("get_metadef_namespace", *rules):
            self._policy.check_metadefs(context, rule, namespace)
        return namespace

    def _thd_take(
        self,
        connection: Connection,
        context: RequestContext,
        name: str,
        *rules: str,
        deleting: bool = False,
    ) -> Namespace:
        """Read a namespace under lock, in which the caller wants to change something.

        :param rules: what the policy is asked.
        :param deleting: whether something is to be deleted.
        :raises NotFound: there is none, or the caller may not know of it.
        :raises Forbidden: the caller may not, or the namespace is protected from it.
        """
        namespace = metadef_namespaces.thd_get(connection, name, context.viewer, lock=True)
        for rule in rules:
            self._policy.check_metadefs(context, rule, namespace)
        if deleting and namespace.protected:
            raise Forbidden(
                f"Namespace {shorten(name)} is protected: neither it nor anything in it can be"
                " deleted."
            )
        return namespace
