"""The rows about metadata definitions of the table of routes; see ``tests.functional.matrix``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.functional.cloud import Cloud
from tests.functional.matrix_cases import Call, Case, Scenario, seen, unknown, who
from tests.functional.server import Answer

_ALL = "/v2/metadefs/namespaces"
_NAMESPACE = "/metadefs/namespaces/<namespace_name>"

#: Readers and administrators, of whatever project.
_READERS = who(200, 200, 200, 404, 200, 404)

_NEW_PROPERTY = {"name": "height", "title": "Height", "type": "integer"}


def _changed(status: int) -> dict[str, int]:
    """Administrators change a namespace; whoever sees it is told that they may not."""
    return who(status, 403, 403, 404, 404, 404)


def _in(tail: str = "", body: Any = None, **fields: Any) -> Callable[[Cloud], Call]:
    """A request about a new namespace of the member's project."""
    return lambda cloud: Call(f"{_ALL}/{cloud.namespace(**fields)}{tail}", body)


def _refused(path: str) -> Scenario:
    """Ask for what the policy does not let anybody look at."""
    return lambda cloud: cloud.refused(path)


def _forbidden(tail: str) -> dict[int, Scenario]:
    return {403: _refused(f"{_ALL}/Acme{tail}"), 404: unknown("GET", f"{_ALL}/none{tail}")}


def _again(method: str, tail: str, body: Any) -> Scenario:
    """Ask for a name that is another's."""

    def scenario(cloud: Cloud) -> Answer:
        return cloud.call("admin", method, f"{_ALL}/{cloud.namespace()}{tail}", body)

    return scenario


def _renamed(kind: str, body: dict[str, Any], taken: str) -> Scenario:
    """Add something, and give it the name of what was there before."""

    def scenario(cloud: Cloud) -> Answer:
        path = f"{_ALL}/{cloud.namespace()}/{kind}"
        added = f"{path}/{body['name']}" if kind == "tags" else path
        made = cloud.call("admin", "POST", added, None if kind == "tags" else body)
        assert made.status == 201, made
        return cloud.call("admin", "PUT", f"{path}/{body['name']}", {**body, "name": taken})

    return scenario


def _namespace_renamed(cloud: Cloud) -> Answer:
    path = f"{_ALL}/{cloud.namespace()}"
    return cloud.call("admin", "PUT", path, {"namespace": cloud.namespace()})


def _created_again(cloud: Cloud) -> Answer:
    return cloud.call("admin", "POST", _ALL, {"namespace": cloud.namespace()})


def _new_namespace(cloud: Cloud) -> Call:
    name = cloud.namespace()
    assert cloud.call("admin", "DELETE", f"{_ALL}/{name}").status == 204
    tags = [{"name": "spring"}]
    return Call(_ALL, {"namespace": name, "owner": "p1", "tags": tags})


METADEF_ROUTES: dict[str, Case] = {
    "GET /metadefs/namespaces": Case(lambda cloud: Call(_ALL), _READERS, {403: _refused(_ALL)}),
    "POST /metadefs/namespaces": Case(
        _new_namespace, who(201, 403, 403, 404, 403, 404), {409: _created_again}
    ),
    f"GET {_NAMESPACE}": Case(_in(), seen(200), _forbidden("")),
    f"PUT {_NAMESPACE}": Case(
        lambda cloud: Call(f"{_ALL}/{(name := cloud.namespace())}", {"namespace": name}),
        _changed(200),
        {409: _namespace_renamed},
    ),
    f"DELETE {_NAMESPACE}": Case(
        _in(),
        _changed(204),
        {
            403: lambda cloud: cloud.call(
                "admin", "DELETE", f"{_ALL}/{cloud.namespace(protected=True)}"
            )
        },
    ),
    "GET /metadefs/resource_types": Case(
        lambda cloud: Call("/v2/metadefs/resource_types"),
        _READERS,
        {403: _refused("/v2/metadefs/resource_types")},
    ),
    f"GET {_NAMESPACE}/resource_types": Case(
        _in("/resource_types"), seen(200), _forbidden("/resource_types")
    ),
    f"POST {_NAMESPACE}/resource_types": Case(
        _in("/resource_types", {"name": "OS::Acme::Rocket"}),
        _changed(201),
        {409: _again("POST", "/resource_types", {"name": "OS::Acme::Anvil"})},
    ),
    f"DELETE {_NAMESPACE}/resource_types/<resource_type_name>": Case(
        _in("/resource_types/OS::Acme::Anvil"), _changed(204)
    ),
    f"GET {_NAMESPACE}/properties": Case(_in("/properties"), seen(200), _forbidden("/properties")),
    f"POST {_NAMESPACE}/properties": Case(
        _in("/properties", _NEW_PROPERTY),
        _changed(201),
        {409: _again("POST", "/properties", {**_NEW_PROPERTY, "name": "weight"})},
    ),
    f"DELETE {_NAMESPACE}/properties": Case(_in("/properties"), _changed(204)),
    f"GET {_NAMESPACE}/properties/<property_name>": Case(
        _in("/properties/weight"), seen(200), _forbidden("/properties/weight")
    ),
    f"PUT {_NAMESPACE}/properties/<property_name>": Case(
        _in("/properties/weight", _NEW_PROPERTY),
        _changed(200),
        {409: _renamed("properties", _NEW_PROPERTY, "weight")},
    ),
    f"DELETE {_NAMESPACE}/properties/<property_name>": Case(
        _in("/properties/weight"), _changed(204)
    ),
    f"GET {_NAMESPACE}/objects": Case(_in("/objects"), seen(200), _forbidden("/objects")),
    f"POST {_NAMESPACE}/objects": Case(
        _in("/objects", {"name": "colour"}),
        _changed(201),
        {409: _again("POST", "/objects", {"name": "size"})},
    ),
    f"DELETE {_NAMESPACE}/objects": Case(_in("/objects"), _changed(204)),
    f"GET {_NAMESPACE}/objects/<object_name>": Case(
        _in("/objects/size"), seen(200), _forbidden("/objects/size")
    ),
    f"PUT {_NAMESPACE}/objects/<object_name>": Case(
        _in("/objects/size", {"name": "colour"}),
        _changed(200),
        {409: _renamed("objects", {"name": "colour"}, "size")},
    ),
    f"DELETE {_NAMESPACE}/objects/<object_name>": Case(_in("/objects/size"), _changed(204)),
    f"GET {_NAMESPACE}/tags": Case(_in("/tags"), seen(200), _forbidden("/tags")),
    f"POST {_NAMESPACE}/tags": Case(
        _in("/tags", {"tags": [{"name": "spring"}, {"name": "summer"}]}),
        _changed(201),
        {409: _again("POST", "/tags", {"tags": [{"name": "summer"}, {"name": "summer"}]})},
    ),
    f"DELETE {_NAMESPACE}/tags": Case(_in("/tags"), _changed(204)),
    f"GET {_NAMESPACE}/tags/<tag_name>": Case(
        _in("/tags/spring"), seen(200), _forbidden("/tags/spring")
    ),
    f"POST {_NAMESPACE}/tags/<tag_name>": Case(
        _in("/tags/summer"), _changed(201), {409: _again("POST", "/tags/spring", None)}
    ),
    f"PUT {_NAMESPACE}/tags/<tag_name>": Case(
        _in("/tags/spring", {"name": "summer"}),
        _changed(200),
        {409: _renamed("tags", {"name": "summer"}, "spring")},
    ),
    f"DELETE {_NAMESPACE}/tags/<tag_name>": Case(_in("/tags/spring"), _changed(204)),
}
