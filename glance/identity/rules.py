"""The policy rules: what may be allowed or refused, and to whom it is by default.

Names and default checks are the contract with operators' policy files. Rules about images, tasks
and the cache stand here, those about metadata definitions in ``rules_metadefs``.
"""

from __future__ import annotations

from typing import Any

from glance.identity.rule import (
    ADMIN,
    ADMIN_OR_MEMBER,
    ADMIN_OR_READER,
    MEMBERSHIP,
    OWNER_MEMBER,
    SEEN,
    Rule,
    admins,
    plain,
    ruled,
)
from glance.identity.rules_metadefs import METADEFS

_BASE = [
    Rule(
        "default",
        "",
        "What counts for a rule that another one names and that is defined nowhere.",
        scope_types=(),
        old_check=ADMIN,
        since="Ussuri",
        reason="Every rule has had a default of its own since.",
    ),
    plain("context_is_admin", "role:admin", "Who is an administrator."),
    plain("service_api", "role:service or role:admin", "Who is another service of the cloud."),
]

_IMAGE = "/v2/images/{image_id}"
_MEMBER = f"{_IMAGE}/members/{{member_id}}"

_IMAGES = [
    ruled(
        "add_image",
        f"{ADMIN} or ({OWNER_MEMBER} and project_id:%(owner)s)",
        "Create an image.",
        "POST /v2/images",
    ),
    ruled("delete_image", ADMIN_OR_MEMBER, "Delete an image.", f"DELETE {_IMAGE}"),
    ruled(
        "get_image",
        f"{ADMIN} or (role:reader and ({SEEN}))",
        "See an image. Whoever may not is told that there is none.",
        f"GET {_IMAGE}",
    ),
    ruled("get_images", ADMIN_OR_READER, "List images.", "GET /v2/images"),
    ruled(
        "modify_image",
        ADMIN_OR_MEMBER,
        "Change an image's fields, properties and tags.",
        f"PATCH {_IMAGE}",
    ),
    admins("publicize_image", "Show an image to every project.", f"PATCH {_IMAGE}"),
    ruled(
        "communitize_image",
        ADMIN_OR_MEMBER,
        "Let every project use an image that only those find who look for it.",
        f"PATCH {_IMAGE}",
    ),
    ruled(
        "download_image",
        f"{ADMIN} or (role:member and ({SEEN}))",
        "Download an image's data.",
        f"GET {_IMAGE}/file",
    ),
    ruled(
        "download_from_store",
        f"{ADMIN} or (role:member and ({SEEN}))",
        "Choose the stores from which an image's data is downloaded.",
        f"GET {_IMAGE}/file",
        old=None,
    ),
    ruled("upload_image", ADMIN_OR_MEMBER, "Upload an image's data.", f"PUT {_IMAGE}/file"),
    ruled(
        "delete_image_location",
        ADMIN,
        "Remove one of the places where an image's data is.",
        f"PATCH {_IMAGE}",
    ),
    ruled(
        "get_image_location",
        ADMIN_OR_READER,
        "See where an image's data is.",
        f"GET {_IMAGE}",
    ),
    ruled(
        "set_image_location",
        ADMIN_OR_MEMBER,
        "Set where an image's data is.",
        f"PATCH {_IMAGE}",
    ),
    ruled(
        "add_image_location",
        f"rule:service_api or ({OWNER_MEMBER} and project_id:%(owner)s)",
        "Tell where the data of an image without any is.",
        f"POST {_IMAGE}/locations",
        old=None,
    ),
    ruled(
        "fetch_image_location",
        "rule:service_api",
        "Ask for the places where an image's data is.",
        f"GET {_IMAGE}/locations",
        old=None,
    ),
    ruled(
        "add_member",
        ADMIN_OR_MEMBER,
        "Share an image with a project.",
        f"POST {_IMAGE}/members",
    ),
    ruled(
        "delete_member",
        ADMIN_OR_MEMBER,
        "Stop sharing an image with a project.",
        f"DELETE {_MEMBER}",
    ),
    ruled("get_member", MEMBERSHIP, "See one project's share in an image.", f"GET {_MEMBER}"),
    ruled(
        "get_members",
        MEMBERSHIP,
        "List the projects that an image is shared with.",
        f"GET {_IMAGE}/members",
    ),
    ruled(
        "modify_member",
        f"{ADMIN} or (role:member and project_id:%(member_id)s)",
        "Accept or reject an image that is shared with one's project.",
        f"PUT {_MEMBER}",
    ),
    admins("manage_image_cache", "Manage the cache of images."),
    ruled(
        "deactivate",
        ADMIN_OR_MEMBER,
        "Withhold an image's data.",
        f"POST {_IMAGE}/actions/deactivate",
    ),
    ruled(
        "reactivate",
        ADMIN_OR_MEMBER,
        "Give an image's data out again.",
        f"POST {_IMAGE}/actions/reactivate",
    ),
    admins("copy_image", "Copy an image's data to more stores.", f"POST {_IMAGE}/import"),
    admins(
        "list_cached_nodes",
        "List the nodes whose cache holds an image.",
        "GET /v2/cache/nodes/{image_id}",
    ),
]

_TASK = "/v2/tasks/{task_id}"

_TASKS = [
    ruled("get_task", "rule:default", "See a task.", f"GET {_TASK}", since="X"),
    ruled("get_tasks", "rule:default", "List tasks.", "GET /v2/tasks", since="X"),
    ruled("add_task", "rule:default", "Create a task.", "POST /v2/tasks", since="X"),
    Rule(
        "modify_task",
        "rule:default",
        "Change a task.",
        (f"DELETE {_TASK}",),
        since="W",
        reason="Nothing asks this rule; it is kept so that policy files with it load.",
    ),
    admins(
        "tasks_api_access",
        "Use tasks at all.",
        f"GET {_TASK}",
        "GET /v2/tasks",
        "POST /v2/tasks",
        f"DELETE {_TASK}",
    ),
]

_CACHE = "/v2/cache/{image_id}"
_OLD_CACHE = "rule:manage_image_cache"

_CACHES = [
    ruled(
        "cache_image",
        ADMIN,
        "Have an image's data fetched into the cache.",
        f"PUT {_CACHE}",
        old=_OLD_CACHE,
        since="X",
    ),
    ruled(
        "cache_list", ADMIN, "See what the cache holds.", "GET /v2/cache", old=_OLD_CACHE, since="X"
    ),
    ruled(
        "cache_delete",
        ADMIN,
        "Remove images from the cache.",
        "DELETE /v2/cache",
        f"DELETE {_CACHE}",
        old=_OLD_CACHE,
        since="X",
    ),
    admins("cache_clean", "Clear the cache of broken files.", "POST /v2/cache/clean"),
    admins("cache_prune", "Shrink the cache to its limit.", "POST /v2/cache/prune"),
    ruled(
        "stores_info_detail",
        f"{ADMIN} or rule:service_api",
        "See how stores are configured.",
        "GET /v2/info/stores/detail",
        old=ADMIN,
        since="2025.1",
    ),
]


#: Every rule by its name, in the order of the sample file.
RULES = {rule.name: rule for rule in [*_BASE, *_IMAGES, *_TASKS, *METADEFS, *_CACHES]}


def list_rules() -> list[Any]:
    """Return the rules as oslo.policy has them; its tools find them by the name ``glance``."""
    from oslo_policy.policy import DeprecatedRule, DocumentedRuleDefault, RuleDefault

    found: list[Any] = []
    for rule in RULES.values():
        details: dict[str, Any] = {"scope_types": list(rule.scope_types) or None}
        if rule.old_check is not None:
            details["deprecated_rule"] = DeprecatedRule(
                rule.name,
                rule.old_check,
                deprecated_reason=rule.reason,
                deprecated_since=rule.since,
            )
        elif rule.since is not None:
            details["deprecated_for_removal"] = True
            details["deprecated_since"] = rule.since
            details["deprecated_reason"] = rule.reason
        if rule.operations:
            operations: Any = [
                {"method": method, "path": path}
                for method, path in (operation.split(" ") for operation in rule.operations)
            ]
            found.append(
                DocumentedRuleDefault(
                    rule.name, rule.check, rule.description, operations, **details
                )
            )
        else:
            found.append(RuleDefault(rule.name, rule.check, rule.description, **details))
    return found
