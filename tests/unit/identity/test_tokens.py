"""Descriptions of tokens: Keystone's, and the form that is kept in memcached."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.identity.accessrules import AccessRule
from glance.identity.catalog import Catalogs
from glance.identity.context import Identity
from glance.identity.tokens import Malformed, Token, from_kept, parse, timestamp, to_kept
from tests.unit.identity.support import ISSUED, described

NOW = 1000.0


def read(document, **options):
    return parse(document, NOW, Catalogs(), **options)


def test_token_of_a_project():
    token = read(described())
    assert token.identity == Identity(
        user_id="u1",
        user_name="Uma",
        user_domain_id="d1",
        project_id="p1",
        project_name="Project",
        project_domain_id="d2",
        roles=frozenset({"member", "reader"}),
    )
    assert token.role_names == {"Member", "reader"}
    assert token.identity.catalog[0]["type"] == "image"
    assert (token.expires_at, token.checked_at) == (ISSUED + 3600, NOW)
    assert token.access_rules is None
    assert token.bound_to == frozenset()


def test_catalogue_can_be_left_away():
    assert list(read(described(), with_catalog=False).identity.catalog) == []


def test_token_of_the_system():
    token = read(described(project=..., system={"all": True}))
    assert (token.identity.system_scope, token.identity.project_id) == ("all", None)
    assert read(described(project=..., system={"all": False})).identity.system_scope is None


def test_token_of_a_domain():
    token = read(described(project=..., domain={"id": "d9", "name": "Nine"}))
    assert (token.identity.domain_id, token.identity.project_id) == ("d9", None)


def test_token_without_scope():
    token = read(described(project=..., roles=..., catalog=...))
    assert token.identity.roles == frozenset()
    assert list(token.identity.catalog) == []


def test_admin_project_counts_where_there_is_one():
    assert read(described()).identity.is_admin_project
    assert read(described(is_admin_project=True)).identity.is_admin_project
    assert not read(described(is_admin_project=False)).identity.is_admin_project
    assert not read(described(is_admin_project="yes")).identity.is_admin_project


def test_access_rules():
    rules = [{"id": "x", "service": "image", "method": "get", "path": "/v2/images"}]
    token = read(described(application_credential={"id": "c", "access_rules": rules}))
    assert token.access_rules == (AccessRule("image", "GET", "/v2/images"),)
    none = read(described(application_credential={"id": "c", "access_rules": []}))
    assert none.access_rules == ()
    assert read(described(application_credential={"id": "c"})).access_rules is None


def test_binding():
    assert read(described(bind={"kerberos": "me"})).bound_to == {"kerberos"}


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        {},
        {"token": None},
        {"token": []},
        described(user=...),
        described(user={"name": "x"}),
        described(user={"id": 5}),
        described(user={"id": "u", "domain": []}),
        described(user={"id": "u", "domain": {"id": 5}}),
        described(project=["p"]),
        described(project={"id": 7}),
        described(roles={"name": "admin"}),
        described(roles=["admin"]),
        described(roles=[{"name": ["admin"]}]),
        described(catalog={"type": "image"}),
        described(expires_at=...),
        described(expires_at=5),
        described(expires_at="soon"),
        described(application_credential=[]),
        described(application_credential={"access_rules": {}}),
        described(application_credential={"access_rules": ["x"]}),
        described(application_credential={"access_rules": [{"service": "image"}]}),
        described(bind=["kerberos"]),
        described(project=[]),
        described(roles=None),
    ],
)
def test_what_is_no_description(document):
    with pytest.raises(Malformed):
        read(document)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-01-01T00:00:00.000000Z", ISSUED),
        ("2026-01-01T00:00:00Z", ISSUED),
        ("2026-01-01T01:00:00+01:00", ISSUED),
        ("2026-01-01T00:00:00", ISSUED),
        ("2026-01-01T00:00:00.500Z", ISSUED + 0.5),
    ],
)
def test_times(text, seconds):
    assert timestamp(text) == seconds


def test_identity_together_with_a_service():
    service = read(described(user={"id": "nova", "domain": {"id": "d3"}}))
    token = read(described())
    both = token.identity_with(service)
    assert (both.user_id, both.service_user_id) == ("u1", "nova")
    assert (both.service_user_domain_id, both.service_project_id) == ("d3", "p1")
    assert both.service_project_domain_id == "d2"
    # As the identity service writes them.
    assert both.service_roles == {"Member", "reader"}
    assert both.catalog is token.identity.catalog
    assert token.identity_with(service) is both
    other = read(described(user={"id": "cinder"}))
    assert token.identity_with(other).service_user_id == "cinder"


text = st.none() | st.text(min_size=1)
names = st.frozensets(st.text(min_size=1), max_size=4)


@given(
    st.fixed_dictionaries(
        {
            "user_name": text,
            "user_domain_id": text,
            "project_id": text,
            "project_name": text,
            "project_domain_id": text,
            "domain_id": text,
            "system_scope": text,
        }
    ),
    st.booleans(),
    names,
    st.floats(allow_nan=False, allow_infinity=False),
    st.none()
    | st.lists(
        st.builds(AccessRule, text, text, text).filter(lambda r: all((r.service, r.method, r.path)))
    ).map(tuple),
    names,
)
def test_what_is_kept_comes_back(texts, admin_project, roles, expires_at, rules, bound_to):
    identity = Identity(
        user_id="u",
        is_admin_project=admin_project,
        roles=frozenset(role.lower() for role in roles),
        catalog=Catalogs().get([{"type": "x"}]),
        **texts,
    )
    token = Token(identity, roles, expires_at, 5.0, rules, bound_to)
    back = from_kept(to_kept(token), Catalogs())
    assert back.identity == identity
    assert list(back.identity.catalog) == [{"type": "x"}]
    assert (back.role_names, back.bound_to, back.access_rules) == (roles, bound_to, rules)
    assert (back.expires_at, back.checked_at) == (expires_at, 5.0)


def test_what_is_kept_of_a_token_without_catalogue():
    kept = to_kept(read(described(), with_catalog=False))
    assert list(from_kept(kept, Catalogs()).identity.catalog) == []


KEPT = orjson.loads(to_kept(read(described())))


@pytest.mark.parametrize("name", KEPT)
@pytest.mark.parametrize("value", [..., "nonsense", 5, ["x", 5], {"user_id": 5}])
def test_what_is_damaged_is_not_read(name, value):
    kept = {key: old for key, old in KEPT.items() if key != name}
    if value is not ...:
        kept[name] = value
    with pytest.raises(Malformed):
        from_kept(orjson.dumps(kept), Catalogs())


@given(st.binary())
def test_any_bytes_are_read_or_refused(data):
    with pytest.raises(Malformed):
        from_kept(data, Catalogs())
