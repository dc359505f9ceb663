"""The seam where is decided who may do what.

Rule names are those of the policy file (``get_image``, ``add_image``, …).
"""

from __future__ import annotations

from zope.interface import Interface, implementer

from glance.domain.errors import Forbidden
from glance.domain.image import Image
from glance.identity.context import RequestContext


class IPolicy(Interface):
    """Decides."""

    def check(context: RequestContext, rule: str, image: Image | None = None) -> None:
        """Check that a caller may do something. Never blocks; called in any thread.

        :param rule: the policy rule's name.
        :param image: what it is to be done to, where that is one image.
        :raises Forbidden: the caller may not.
        :raises NotFound: the caller may not, and may not know of the image either (``get_image``).
        """

    def visible(context: RequestContext, images: list[Image]) -> list[Image]:
        """Return those of some images that the caller may know of (``get_image``), in order."""


@implementer(IPolicy)
class AdministratorPolicy:
    """Allow administrators everything and others nothing: the rule where nobody is told apart."""

    def check(self, context: RequestContext, rule: str, image: Image | None = None) -> None:
        """Allow administrators."""
        if not context.is_admin:
            raise Forbidden(f"You are not authorized to complete {rule} action.")

    def visible(self, context: RequestContext, images: list[Image]) -> list[Image]:
        """Show administrators all."""
        return images if context.is_admin else []
