"""Which images a viewer sees, in the words of SQL.

There are several ways to see an image: it is public, or one's own, or shared with one. As one
condition they are right for images that were found otherwise, but no index leads to what is seen
by one way *or* another: who sees few of many images would have all of them read. So each way is
also said by itself, with the index that leads along it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    false,
    func,
    literal_column,
    or_,
    select,
    true,
)

from glance.db.hints import as_it_is, unindexed, word
from glance.db.own_tables import owner_index, visibility_index
from glance.db.tables import image_members, images
from glance.domain.image import COMMUNITY, PRIVATE, PUBLIC, SHARED, VISIBILITIES

_i = images.c
_m = image_members.c

Condition = ColumnElement[bool]

#: What is still few: so many images may be read to choose a page from them.
_FEW = 2000

#: What everybody sees, by the visibility that is asked for.
_OPEN: dict[str | None, tuple[str, ...]] = {
    None: (PUBLIC,), "all": (PUBLIC, COMMUNITY), PUBLIC: (PUBLIC,), COMMUNITY: (COMMUNITY,),
}  # fmt: skip


class Amount(IntEnum):
    """How many images there are on a way."""

    NONE = 0
    FEW = 1
    MANY = 2


@dataclass(frozen=True, slots=True)
class Way:
    """A way to see images.

    :param condition: which images are seen.
    :param index: what leads to them, in the order in which they were made.
    :param leads: whether the condition leads to few images, in no order: then nothing else should
        choose an index.
    """

    condition: Condition
    index: str | None = None
    leads: bool = False


@dataclass(frozen=True, slots=True)
class Sight:
    """What decides the words that say which images somebody sees.

    The viewer's project is the parameter ``project_id``.

    :param is_admin: sees everybody's images.
    :param has_project: has images that are one's own.
    :param visibility: one that is asked for, ``"all"``, or ``None`` for what is seen by default.
    :param member_status: of images shared with the viewer, those with this answer, or ``"all"``.
    """

    is_admin: bool
    has_project: bool
    visibility: str | None = "all"
    member_status: str = "all"

    def looked_at(self, *, found: bool) -> Condition:
        """Say whether an image is seen, by whatever way.

        :param found: whether few images are looked at, which something else leads to; or else all.
        """
        if self.is_admin:
            return self._administered()
        column: Callable[[Any], Any] = unindexed if found else as_it_is
        ways = [way.condition for way in self._own_and_open(column)]
        if self.has_members:
            shared = self._is_member() if found else self._is_listed()
            ways.append(and_(column(_i.visibility) == word(SHARED), shared))
        return or_(false(), *ways)

    def ways(self, shared: Amount) -> list[Way]:
        """Say by which ways images are seen, the same image perhaps by several.

        :param shared: how many images are shared with the viewer.
        """
        if self.is_admin:
            return [Way(self._administered())]
        ways = self._own_and_open()
        if self.has_members and shared is Amount.FEW:
            # In words for which no database has an index, since the list leads to fewer.
            others = [word(each) for each in VISIBILITIES if each != SHARED]
            seen = and_(_i.visibility.not_in(others), self._is_listed())
            ways.append(Way(seen, leads=True))
        elif self.has_members and shared is Amount.MANY:
            # No index has them in order. Among so many a page is soon full.
            seen = and_(_i.visibility == word(SHARED), self._is_member())
            ways.append(Way(seen, visibility_index.name))
        return ways or [Way(false())]

    def amount_shared(self) -> ColumnElement[int]:
        """Tell how many images are shared with the viewer, as an :class:`Amount`."""
        if not self.has_members:
            return literal_column("0", Integer)
        some = select(literal_column("1", Integer)).where(*self._memberships())
        return _there(some) + _there(some.offset(_FEW))

    def amount_else(self, *conditions: Condition) -> ColumnElement[int]:
        """Tell how many images are seen by one of the other ways: not 0 when they are many.

        :param conditions: what all images must be that are counted.
        """
        beyond: ColumnElement[int] = literal_column("0", Integer)
        for way in self._own_and_open():
            some = select(literal_column("1", Integer)).where(way.condition, *conditions)
            beyond = beyond + _there(some.offset(_FEW))
        return beyond

    @property
    def has_members(self) -> bool:
        """Say whether images may be seen because they are shared with the viewer."""
        asked = self.visibility in (None, "all", SHARED)
        return asked and self.has_project and not self.is_admin

    @property
    def has_several(self) -> bool:
        """Say whether images may be seen by several ways."""
        return self.has_members or (self.visibility == "all" and not self.is_admin)

    def _administered(self) -> Condition:
        if self.visibility is None:
            # Other projects' community images are found by who asks for them only.
            ordinary: Condition = _i.visibility != word(COMMUNITY)
            return or_(ordinary, _i.owner == _project()) if self.has_project else ordinary
        return true() if self.visibility == "all" else _i.visibility == word(self.visibility)

    def _own_and_open(self, column: Callable[[Any], Any] = as_it_is) -> list[Way]:
        # Not more than is asked for: what is left is often little, and found by an index.
        visibilities = _OPEN.get(self.visibility, ())
        ways = [
            Way(column(_i.visibility) == word(each), visibility_index.name) for each in visibilities
        ]
        if self.has_project and self.visibility not in (PUBLIC, COMMUNITY):
            own: Condition = column(_i.owner) == _project()
            if self.visibility in (PRIVATE, SHARED):
                own = and_(own, unindexed(_i.visibility) == word(self.visibility))
            ways.append(Way(own, owner_index.name))
        return ways

    def _is_listed(self) -> Condition:
        """Say that an image is one of those shared with the viewer."""
        return _i.id.in_(select(_m.image_id).where(*self._memberships()))

    def _is_member(self) -> Condition:
        """Say of an image that it is shared with the viewer."""
        # Counted: of whatever is a subquery of another kind, databases make a list first.
        own = select(func.count()).where(_m.image_id == _i.id, *self._memberships())
        return own.scalar_subquery() > 0

    def _memberships(self) -> list[Condition]:
        mine: list[Condition] = [_m.member == _project(), _m.deleted == false()]
        if self.member_status != "all":
            mine.append(_m.status == word(self.member_status))
        return mine


def _there(some: Select[Any]) -> ColumnElement[int]:
    return func.coalesce(some.limit(1).scalar_subquery(), 0)


def _project() -> Any:
    return bindparam("project_id", type_=String)
