"""Who may do what, by the policy rules.

Rule names are those of the policy file (``get_image``, ``add_image``, …).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from zope.interface import Interface, implementer

from glance.domain.errors import Forbidden, GlanceError, NotFound
from glance.domain.image import COMMUNITY, PUBLIC, Image, no_such_image
from glance.domain.metadefs.model import Namespace, no_such_namespace
from glance.identity.context import Identity, RequestContext
from glance.identity.ruleset import RuleSet
from glance.identity.targets import IMAGES, MAPPINGS, NAMESPACES, NOTHING, Kind

T = TypeVar("T")

#: What a new visibility takes beside ``add_image`` or ``modify_image``.
VISIBILITY_RULES = {PUBLIC: "publicize_image", COMMUNITY: "communitize_image"}


class IPolicy(Interface):
    """Decides. Nothing here ever blocks, and all of it may be called in any thread."""

    def check(context: RequestContext, rule: str, image: Image | None = None) -> None:
        """Check that a caller may do something.

        :param rule: the policy rule's name.
        :param image: what it is to be done to, where that is one image.
        :raises Forbidden: the caller may not.
        :raises NotFound: the caller may not, and may not know of the image either (``get_image``).
        """

    def check_create(context: RequestContext, image: Image) -> None:
        """Check that a caller may create an image, with the visibility that it is to have.

        :raises Forbidden: the caller may not.
        """

    def check_target(context: RequestContext, rule: str, target: Mapping[str, Any]) -> None:
        """Check that a caller may do something to a thing that is no image.

        :param target: the thing's attributes that checks may name.
        :raises Forbidden: the caller may not.
        """

    def allows(context: RequestContext, rule: str, target: Mapping[str, Any]) -> bool:
        """Return whether a caller may do something to a thing that is no image."""

    def permits(context: RequestContext, rule: str, image: Image) -> bool:
        """Return whether a caller may do something to an image."""

    def visible(context: RequestContext, images: list[Image]) -> list[Image]:
        """Return those of some images that the caller may know of (``get_image``), in order."""

    def check_metadefs(
        context: RequestContext, rule: str, namespace: Namespace | None = None
    ) -> None:
        """Check that a caller may do something to metadata definitions.

        :param namespace: the namespace that it is to be done to, where it is one.
        :raises Forbidden: the caller may not.
        :raises NotFound: the caller may not, and may not know of the namespace either
            (``get_metadef_namespace``).
        """

    def check_new_namespace(context: RequestContext, rule: str, namespace: Namespace) -> None:
        """Check that a caller may do something to a namespace that is not there yet.

        :raises Forbidden: the caller may not.
        :raises NotFound: the caller may not, nor know of any namespace of its own.
        """

    def visible_namespaces(context: RequestContext, namespaces: list[Namespace]) -> list[Namespace]:
        """Return those that the caller may know of (``get_metadef_namespace``), in order."""

    def holds(context: RequestContext, rule: str) -> bool:
        """Return whether a rule, one of the operator's own perhaps, says yes whatever the target.

        One that is not there says no.
        """

    def is_admin(identity: Identity) -> bool:
        """Return whether a caller is an administrator (``context_is_admin``)."""


@implementer(IPolicy)
class Policy:
    """Decides by a set of rules, which may be exchanged at any time.

    :param rules: the rules in force.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules = rules

    def check(self, context: RequestContext, rule: str, image: Image | None = None) -> None:
        """See :meth:`IPolicy.check`."""
        rules = self.rules
        if image is None:
            if not _allows(rules, context, rule, NOTHING, None):
                raise _refused(rule)
            return
        if _allows(rules, context, rule, IMAGES, image):
            return
        if not _allows(rules, context, "get_image", IMAGES, image):
            raise no_such_image(image.id)
        raise _refused(rule)

    def check_create(self, context: RequestContext, image: Image) -> None:
        """See :meth:`IPolicy.check_create`."""
        target = {
            "project_id": image.owner,
            "owner": image.owner,
            "visibility": image.visibility,
        }
        if not self.allows(context, "add_image", target):
            if image.owner != context.project_id:
                raise Forbidden(
                    f"You are not authorized to create an image owned by {image.owner}."
                )
            raise _refused("add_image")
        if image.visibility in VISIBILITY_RULES:
            self.check_target(context, VISIBILITY_RULES[image.visibility], target)

    def check_target(self, context: RequestContext, rule: str, target: Mapping[str, Any]) -> None:
        """See :meth:`IPolicy.check_target`."""
        if not self.allows(context, rule, target):
            raise _refused(rule)

    def allows(self, context: RequestContext, rule: str, target: Mapping[str, Any]) -> bool:
        """See :meth:`IPolicy.allows`."""
        return _allows(self.rules, context, rule, MAPPINGS, target)

    def permits(self, context: RequestContext, rule: str, image: Image) -> bool:
        """See :meth:`IPolicy.permits`."""
        return _allows(self.rules, context, rule, IMAGES, image)

    def visible(self, context: RequestContext, images: list[Image]) -> list[Image]:
        """See :meth:`IPolicy.visible`."""
        return _permitted(self.rules, context, "get_image", IMAGES, images)

    def check_metadefs(
        self, context: RequestContext, rule: str, namespace: Namespace | None = None
    ) -> None:
        """See :meth:`IPolicy.check_metadefs`."""
        rules = self.rules
        kind = NOTHING if namespace is None else NAMESPACES
        if _allows(rules, context, rule, kind, namespace):
            return
        if namespace is None:
            raise self._refused_of_all(context, rule)
        if not _allows(rules, context, "get_metadef_namespace", kind, namespace):
            raise no_such_namespace(namespace.name)
        raise _refused(rule)

    def check_new_namespace(self, context: RequestContext, rule: str, namespace: Namespace) -> None:
        """See :meth:`IPolicy.check_new_namespace`."""
        if not _allows(self.rules, context, rule, NAMESPACES, namespace):
            raise self._refused_of_all(context, rule)

    def _refused_of_all(self, context: RequestContext, rule: str) -> GlanceError:
        if _allows(self.rules, context, "get_metadef_namespace", NOTHING, None):
            return _refused(rule)
        return NotFound("The resource could not be found.")

    def visible_namespaces(
        self, context: RequestContext, namespaces: list[Namespace]
    ) -> list[Namespace]:
        """See :meth:`IPolicy.visible_namespaces`."""
        return _permitted(self.rules, context, "get_metadef_namespace", NAMESPACES, namespaces)

    def holds(self, context: RequestContext, rule: str) -> bool:
        """See :meth:`IPolicy.holds`."""
        rules = self.rules
        return rule in rules and _allows(rules, context, rule, MAPPINGS, {})

    def is_admin(self, identity: Identity) -> bool:
        """See :meth:`IPolicy.is_admin`."""
        answer = self.rules.answer("context_is_admin", NOTHING, identity, False)
        return answer if isinstance(answer, bool) else answer(None)


def _allows(rules: RuleSet, context: RequestContext, rule: str, kind: Kind, target: Any) -> bool:
    answer = rules.answer(rule, kind, context.identity, context.is_admin)
    return answer if answer is True or answer is False else answer(target)


def _permitted(
    rules: RuleSet, context: RequestContext, rule: str, kind: Kind, targets: list[T]
) -> list[T]:
    answer = rules.answer(rule, kind, context.identity, context.is_admin)
    if answer is True:
        return targets
    if answer is False:
        return []
    return [target for target in targets if answer(target)]


def _refused(rule: str) -> Forbidden:
    return Forbidden(f"You are not authorized to complete {rule} action.")
