"""What schemathesis makes of the service's own description, driven against a service.

Examples are the same in every run. ``GLANCE_FUZZ=20`` makes twenty times as many of them, for as
many minutes and for every kind of caller, and adds what schemathesis knows of limits (its coverage
phase). Tests take the class :class:`Fuzzing` with the fixtures of this module and supply one more,
``cloud``, of the module's scope.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core import NOT_SET
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from glance.domain.digests import DIGEST_HEADERS
from glance.domain.patch import MEDIA_TYPE_V20, MEDIA_TYPE_V21
from tests.functional.cloud import Cloud
from tests.functional.matrix import ROUTES

FACTOR = int(os.environ.get("GLANCE_FUZZ", "0"))

#: Of the checks that schemathesis has, those that hold for every answer here. Left out are:
#: - positive_data_acceptance, use_after_free: they take 400, 413, 416 or a 204 for wrong where this
#:   API means them (quotas, ids that are in use, downloads without data);
#: - ensure_resource_availability: what one caller made another may not see, and members go;
#: - negative_data_rejection: a patch's changes may have keys that nobody knows, unknown query
#:   parameters are custom properties, and times come in more forms than are promised;
#: - missing_required_header: no route needs one;
#: - ignored_auth, object_level_authorization: test_matrix has all callers on all routes.
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    allow_header_conformance,
]

schemathesis.serializer.alias([MEDIA_TYPE_V21, MEDIA_TYPE_V20], "application/json")


def settings_of(examples: int) -> settings:
    """Return what makes a number of examples, the same ones every time."""
    return settings(
        max_examples=examples * max(FACTOR, 1),
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


#: Options of a service that what schemathesis thinks up is rarely above.
QUOTAS = {f"image_{what}_quota": 40 for what in ("member", "tag", "property", "location")}


def described(cloud: Cloud, generation: dict[str, Any], **more: Any) -> Any:
    """Return the description as schemathesis reads it."""
    document = cloud.call("member", "GET", "/v2/openapi.json").json
    # Tokens are the test's own.
    generation = {"with-security-parameters": False, "deterministic": True, **generation}
    config = schemathesis.Config.from_dict({"generation": generation, "seed": 1, **more})
    found = schemathesis.openapi.from_dict(document, config=config)
    found.config.update(base_url=cloud.server.url)
    return found


def headers_of(cloud: Cloud, who: str, accept: str = "application/json") -> dict[str, str]:
    """Return the headers of a caller."""
    token = cloud.tokens[who]
    return {"Accept": accept} if token is None else {"Accept": accept, "X-Auth-Token": token}


# What requests can be about.


def _queued(cloud: Cloud) -> str:
    return cloud.create()


def _private(cloud: Cloud) -> str:
    return cloud.create(visibility="private")


def _shared(cloud: Cloud) -> str:
    image_id = cloud.image()
    cloud.share(image_id)
    return image_id


def _deactivated(cloud: Cloud) -> str:
    image_id = cloud.image()
    assert cloud.call("member", "POST", f"/v2/images/{image_id}/actions/deactivate").status == 204
    return image_id


def _in_two_stores(cloud: Cloud) -> str:
    image_id = cloud.image(tags=["spring"], os_distro="debian")
    assert cloud.add_location(image_id).status == 200
    return image_id


Kind = Callable[[Cloud], str]
KINDS: tuple[Kind, ...] = (
    _queued,
    _private,
    _shared,
    _deactivated,
    _in_two_stores,
)

#: Values of parts of paths that there really are; the images are made when they are needed.
KNOWN_PARTS = {
    "member_id": ["p2"],
    "tag": ["spring"],
    "store_id": ["fast", "slow", "web"],
    "name": ["image", "images", "member", "members", "namespace", "objects", "task", "tasks"],
    "object_name": ["size"],
    "property_name": ["weight", "acme_weight"],
    "tag_name": ["spring"],
    "resource_type_name": ["OS::Acme::Anvil"],
}
#: Images that have such a part.
_WITH_PART = {"member_id": _shared, "tag": _in_two_stores, "store_id": _in_two_stores}


def _aim(data: st.DataObject, cloud: Cloud, case: Case, kind: Kind) -> None:
    """Let most requests be about things that there are: names made up lead to nothing but 404."""
    mostly, stores = st.sampled_from([True, True, True, False]), KNOWN_PARTS["store_id"]
    parts = case.path_parameters or {}
    for name in parts:
        if not data.draw(mostly):
            continue
        if name == "image_id":
            parts[name] = kind(cloud)
        elif name == "namespace_name":
            parts[name] = cloud.namespace(visibility="public")
        else:
            parts[name] = data.draw(st.sampled_from(KNOWN_PARTS[name]))
    if case.headers and "X-Image-Meta-Store" in case.headers and data.draw(mostly):
        case.headers["X-Image-Meta-Store"] = data.draw(st.sampled_from(stores))
    if case.query and "prefer" in case.query and data.draw(mostly):
        case.query["prefer"] = data.draw(st.sampled_from(stores))
    if case.headers and data.draw(mostly):
        # Which data there will be, nobody knows who makes the digests up.
        for name in DIGEST_HEADERS:
            case.headers.pop(name, None)
    if case.query and "resource_type" in case.query and data.draw(mostly):
        case.query["resource_type"] = "OS::Acme::Anvil"
    if isinstance(case.body, dict | list) and data.draw(mostly):
        case.body = _with(case.body, {"owner": "p1", "url": cloud.url("it")})


def _with(value: Any, known: dict[str, str]) -> Any:
    """Return a value with some of its texts replaced, by the names of their fields."""
    if isinstance(value, list):
        return [_with(item, known) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        k: known[k] if k in known and isinstance(v, str | None) else _with(v, known)
        for k, v in value.items()
    }


ACCEPTED = st.sampled_from(
    ["application/json", "*/*", "text/html,*/*;q=0.8", "text/plain", "", "image/png"]
)

# Headers that decide what becomes of data.

_NUMBERS = st.integers(0, 12) | st.integers(0, 10**30)
_RANGES = st.one_of(
    st.builds("bytes={}-{}".format, _NUMBERS, _NUMBERS),
    st.builds("bytes={}-".format, _NUMBERS),
    st.builds("bytes=-{}".format, _NUMBERS),
    st.builds("bytes {}-{}/{}".format, _NUMBERS, _NUMBERS, _NUMBERS | st.just("*")),
    st.sampled_from(["bytes=0-1,3-4", "bytes=", "lines=1-2", "bytes=--1", "bytes=1-2-3", "0-1"]),
)
_ODD = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_categories=["Cc"]))
# requests sends Latin-1, the service reads UTF-8.
_WIDE = st.text(st.characters(min_codepoint=32, exclude_categories=["Cc", "Cs"]))
_VALUES = (_ODD | _WIDE.map(lambda text: text.encode().decode("latin-1"))).map(str.strip)
_DIGESTS = st.sampled_from(
    ["md5=:4JpXTKN2Cj4oo+WSD+Rifg==:", "md5=:AAAAAAAAAAAAAAAAAAAAAA==:", "sha-256=:aGk=:", "a;"]
)
HEADERS = {
    "Range": _RANGES | _VALUES,
    "Content-Range": _RANGES | _VALUES,
    "If-None-Match": st.sampled_from(["*", 'W/"x"', '"a", "b"']) | _VALUES,
    "If-Range": st.sampled_from(['"x"', "Wed, 21 Oct 2015 07:28:00 GMT"]) | _VALUES,
    "X-Image-Meta-Store": st.sampled_from(["fast", "slow", "web", ""]) | _VALUES,
    "X-OpenStack-Image-Size": st.sampled_from(["10", "-1", "\xc2\xb2", "1_0", "9" * 20]) | _VALUES,
    "Content-Digest": _DIGESTS | _VALUES,
    "Repr-Digest": _DIGESTS | _VALUES,
    "X-OpenStack-Request-ID": st.sampled_from(["x" * 64, "x" * 65]) | _VALUES,
    "Accept": ACCEPTED | _VALUES,
    "Accept-Encoding": st.sampled_from(["gzip", "gzip;q=0", "*", "gzip;q=x"]) | _VALUES,
    "Content-Type": st.sampled_from(
        ["application/octet-stream", "application/octet-stream; a=b", MEDIA_TYPE_V21, "a/b"]
    )
    | _VALUES,
    "Expect": st.sampled_from(["100-continue", "100-Continue", "200-ok"]),
    "X-Auth-Token": _VALUES,
}


Strategies = Callable[[str], Any]


def drive(
    cloud: Cloud,
    strategies: Strategies,
    session: requests.Session,
    name: str,
    who: str,
    examples: int,
) -> None:
    """Make requests to one route as one caller, and check every answer.

    :param examples: how many, of each kind of image where the route is about one.
    """
    fitting = [kind for part, kind in _WITH_PART.items() if f"<{part}>" in name]
    kinds = (fitting or KINDS) if "<image_id>" in name else KINDS[:1]
    for kind in kinds:
        _drive(cloud, strategies(name), session, who, examples * len(KINDS) // len(kinds), kind)


def _drive(
    cloud: Cloud, strategy: Any, session: requests.Session, who: str, examples: int, kind: Kind
) -> None:
    @settings_of(examples)
    @given(data=st.data(), accept=ACCEPTED)
    def check(data: st.DataObject, accept: str) -> None:
        case = data.draw(strategy)
        _aim(data, cloud, case, kind)
        case.call_and_validate(
            session=session, headers=headers_of(cloud, who, accept), checks=CHECKS
        )

    check()


@pytest.fixture(scope="module")
def description(cloud: Cloud) -> Any:
    return described(cloud, {})


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture(scope="module")
def strategies(description: Any) -> Strategies:
    """Make cases of a route, in keeping with the description and against it."""

    # To work one out takes longer than to make examples by it.
    @functools.cache
    def strategies(name: str) -> Any:
        method, _, path = name.partition(" ")
        operation = description["/v2" + path.replace("<", "{").replace(">", "}")][method]
        modes = [GenerationMode.POSITIVE]
        # Elsewhere there is nothing that could be against it. Of queries it takes seconds to find.
        if operation.body or (operation.query and FACTOR):
            modes.append(GenerationMode.NEGATIVE)
        return st.one_of([operation.as_strategy(generation_mode=mode) for mode in modes])

    return strategies


class Fuzzing:
    """Tests of any service ``cloud``."""

    @pytest.mark.parametrize("name", ROUTES)
    def test_member(
        self, cloud: Cloud, strategies: Strategies, session: requests.Session, name: str
    ) -> None:
        drive(cloud, strategies, session, name, "member", 2)

    def test_chains(self, cloud: Cloud, session: requests.Session) -> None:
        """Follow links: what one answer names is what the next requests are about."""
        config = {"phases": {"stateful": {"inference": {"algorithms": []}}}}
        chained = described(cloud, {"mode": "positive"}, **config)
        # Of metadata definitions a member can make none, so no chain begins there.
        chained = chained.exclude(operation_id="get_images").exclude(path_regex="/metadefs/")
        followed = set()

        class Chains(chained.as_state_machine()):  # type: ignore[misc]
            def get_call_kwargs(self, case: Case) -> dict[str, Any]:
                return {"session": session, "headers": headers_of(cloud, "member")}

            def before_call(self, case: Case) -> None:
                # What nobody can know who knows the description alone.
                if case.headers and "X-Image-Meta-Store" in case.headers:
                    case.headers["X-Image-Meta-Store"] = "slow"
                for name in DIGEST_HEADERS:
                    (case.headers or {}).pop(name, None)
                if isinstance(case.body, dict):
                    body = _with(case.body, {"owner": "p1", "url": cloud.url("it")})
                    # Ids last longer than a chain, and what Hypothesis repeats is to be the same.
                    body.pop("id", None)
                    case.body = body

            def validate_response(self, response: Any, case: Case, **_: Any) -> None:
                followed.add((case.operation.label, response.status_code))
                case.validate_response(response, checks=CHECKS)

        Chains.run(settings=settings(settings_of(12), stateful_step_count=10))
        reached = {label for label, status in followed if status < 300}
        assert len(reached) >= 8, sorted(followed)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "PUT"])
    def test_headers_of_data(
        self, cloud: Cloud, description: Any, session: requests.Session, method: str
    ) -> None:
        operation = description["/v2/images/{image_id}/file"][method]
        rare = {"X-Auth-Token", "X-OpenStack-Request-ID", "Content-Type"}
        usual = {name: values for name, values in HEADERS.items() if name not in rare}
        given_headers = st.fixed_dictionaries({}, optional=usual)
        rare_headers = st.fixed_dictionaries({}, optional={name: HEADERS[name] for name in rare})

        @settings_of(100)
        @given(headers=given_headers, more=st.just({}) | rare_headers, kind=st.sampled_from(KINDS))
        def drive(headers: dict[str, str], more: dict[str, str], kind: Kind) -> None:
            octets = {"Content-Type": "application/octet-stream"} if method == "PUT" else {}
            case = operation.Case(
                path_parameters={"image_id": kind(cloud)},
                headers={**headers_of(cloud, "member"), **octets, **headers, **more},
                body=b"image data" if method == "PUT" else NOT_SET,
            )
            case.call_and_validate(session=session, checks=CHECKS)

        drive()
