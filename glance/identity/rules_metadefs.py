"""The policy rules about metadata definitions."""

from __future__ import annotations

from glance.identity.rule import ADMIN, ADMIN_OR_READER, Rule, plain, ruled

_NAMESPACES = "/v2/metadefs/namespaces"
_NAMESPACE = f"{_NAMESPACES}/{{namespace_name}}"
_OBJECTS = f"{_NAMESPACE}/objects"
_OBJECT = f"{_OBJECTS}/{{object_name}}"
_TYPES = f"{_NAMESPACE}/resource_types"
_PROPERTIES = f"{_NAMESPACE}/properties"
_PROPERTY = f"{_PROPERTIES}/{{property_name}}"
_TAGS = f"{_NAMESPACE}/tags"
_TAG = f"{_TAGS}/{{tag_name}}"

_SEEN = f"{ADMIN} or (role:reader and (project_id:%(project_id)s or 'public':%(visibility)s))"


def _read(name: str, description: str, operation: str, check: str = _SEEN) -> Rule:
    return ruled(name, check, description, operation, old="rule:metadef_default", since="X")


def _write(name: str, description: str, operation: str) -> Rule:
    return Rule(name, "rule:metadef_admin", description, (operation,))


METADEFS = [
    plain("metadef_default", "", "Who might see metadata definitions, before the rules told more."),
    plain("metadef_admin", ADMIN, "Who may change metadata definitions."),
    _read(
        "get_metadef_namespace",
        "See a namespace. Whoever may not is told that there is none.",
        f"GET {_NAMESPACE}",
    ),
    _read("get_metadef_namespaces", "List namespaces.", f"GET {_NAMESPACES}", ADMIN_OR_READER),
    _write("modify_metadef_namespace", "Change a namespace.", f"PUT {_NAMESPACE}"),
    _write("add_metadef_namespace", "Create a namespace.", f"POST {_NAMESPACES}"),
    _write("delete_metadef_namespace", "Delete a namespace.", f"DELETE {_NAMESPACE}"),
    _read("get_metadef_object", "See an object of a namespace.", f"GET {_OBJECT}"),
    _read("get_metadef_objects", "List the objects of a namespace.", f"GET {_OBJECTS}"),
    _write("modify_metadef_object", "Change an object of a namespace.", f"PUT {_OBJECT}"),
    _write("add_metadef_object", "Add an object to a namespace.", f"POST {_OBJECTS}"),
    _write("delete_metadef_object", "Delete an object of a namespace.", f"DELETE {_OBJECT}"),
    _read("list_metadef_resource_types", "List resource types.", "GET /v2/metadefs/resource_types"),
    _read(
        "get_metadef_resource_type",
        "List the resource types that a namespace is for.",
        f"GET {_TYPES}",
    ),
    _write(
        "add_metadef_resource_type_association",
        "Say that a namespace is for a resource type.",
        f"POST {_TYPES}",
    ),
    _write(
        "remove_metadef_resource_type_association",
        "Say that a namespace is no longer for a resource type.",
        f"DELETE {_TYPES}/{{name}}",
    ),
    _read("get_metadef_property", "See a property of a namespace.", f"GET {_PROPERTY}"),
    _read("get_metadef_properties", "List the properties of a namespace.", f"GET {_PROPERTIES}"),
    _write("modify_metadef_property", "Change a property of a namespace.", f"PUT {_PROPERTY}"),
    _write("add_metadef_property", "Add a property to a namespace.", f"POST {_PROPERTIES}"),
    _write("remove_metadef_property", "Delete a property of a namespace.", f"DELETE {_PROPERTY}"),
    _read("get_metadef_tag", "See a tag of a namespace.", f"GET {_TAG}"),
    _read("get_metadef_tags", "List the tags of a namespace.", f"GET {_TAGS}"),
    _write("modify_metadef_tag", "Rename a tag of a namespace.", f"PUT {_TAG}"),
    _write("add_metadef_tag", "Add a tag to a namespace.", f"POST {_TAG}"),
    _write("add_metadef_tags", "Replace the tags of a namespace.", f"POST {_TAGS}"),
    _write("delete_metadef_tag", "Delete a tag of a namespace.", f"DELETE {_TAG}"),
    _write("delete_metadef_tags", "Delete all tags of a namespace.", f"DELETE {_TAGS}"),
]
