"""The routes of metadata definitions: which rules each of them asks, and that nothing gets past.

The catalogue is a real one, in memory, and the policy is the real one too.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

import treq.testing
from twisted.trial.unittest import SynchronousTestCase

from glance.api.metadef_namespaces import MetadefNamespacesResource
from glance.api.metadef_objects import MetadefObjectsResource
from glance.api.metadef_properties import MetadefPropertiesResource
from glance.api.metadef_tags import MetadefTagsResource
from glance.api.metadef_types import MetadefTypesResource
from glance.api.routing import Dispatcher, Route, make_app, routes_of
from glance.api.settings import ApiSettings
from glance.db import schema
from glance.db.engine import make_engine
from glance.domain.quotas import Quotas
from glance.domain.schemas import ImageValidator
from glance.identity.rules_metadefs import METADEFS
from tests.services.catalogue.support import Catalogue
from tests.unit.identity.doubles import caller, make_policy

RESOURCES = (
    MetadefNamespacesResource,
    MetadefTypesResource,
    MetadefPropertiesResource,
    MetadefObjectsResource,
    MetadefTagsResource,
)
ROUTES: dict[str, Route] = {
    f"{found.method} {found.path.removeprefix('/metadefs')}": found
    for kind in RESOURCES
    for found, _ in routes_of(kind)
}
RULES = [rule.name for rule in METADEFS if rule.name not in ("metadef_default", "metadef_admin")]
#: Asked for whatever is looked at in a namespace, and of whoever may not do what was wanted.
KNOWING = "get_metadef_namespace"

ALL = "/metadefs/namespaces"
PROPERTY = {"name": "weight", "title": "Weight", "type": "integer"}
ACME = {
    "namespace": "Acme",
    "visibility": "public",
    "owner": "p",
    "resource_type_associations": [{"name": "OS::Acme::Anvil", "prefix": "acme_"}],
    "properties": {"weight": {"title": "Weight", "type": "integer"}},
    "objects": [{"name": "size"}],
    "tags": [{"name": "spring"}],
}
#: What is sent where, besides nothing, and what is there instead of a name in a path.
BODIES: dict[str, Any] = {
    "POST /namespaces": {**ACME, "namespace": "Other"},
    "PUT /namespaces/<namespace_name>": {"namespace": "Other"},
    "POST /namespaces/<namespace_name>/resource_types": {"name": "OS::Acme::Rocket"},
    "POST /namespaces/<namespace_name>/properties": {**PROPERTY, "name": "height"},
    "PUT /namespaces/<namespace_name>/properties/<property_name>": {**PROPERTY, "name": "height"},
    "POST /namespaces/<namespace_name>/objects": {"name": "colour"},
    "PUT /namespaces/<namespace_name>/objects/<object_name>": {"name": "colour"},
    "POST /namespaces/<namespace_name>/tags": {"tags": [{"name": "summer"}]},
    "PUT /namespaces/<namespace_name>/tags/<tag_name>": {"name": "summer"},
}
NAMES = {
    "<namespace_name>": "Acme",
    "<resource_type_name>": "OS::Acme::Anvil",
    "<property_name>": "weight",
    "<object_name>": "size",
    "<tag_name>": "spring",
}
NEW_TAG = "POST /namespaces/<namespace_name>/tags/<tag_name>"


class TestRules(SynchronousTestCase):
    catalogue: ClassVar[Catalogue]

    @classmethod
    def setUpClass(cls) -> None:
        engine = make_engine("sqlite://")
        schema.thd_sync(engine)
        cls.catalogue = Catalogue(engine)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.catalogue.close()

    def setUp(self) -> None:
        self.catalogue.empty()
        self.who = caller("admin", "member", "reader")
        self.serve({})
        self.assertEqual(self.ask("POST", ALL, ACME).code, 201)

    def serve(self, rules: dict[str, str]) -> None:
        """Bring the routes into service under a policy file."""
        policy = make_policy(rules)
        settings = ApiSettings(
            ImageValidator(["raw"], ["bare"]), Quotas(), ("raw",), ("bare",),
            public_endpoint="http://glance.example",
        )  # fmt: skip
        database: Any = self.catalogue.database
        resources: list[object] = [MetadefNamespacesResource(database, policy, settings)]
        resources += [kind(database, policy) for kind in RESOURCES[1:]]  # type: ignore[call-arg]
        app = make_app(Dispatcher(self, 64), resources)  # type: ignore[arg-type]
        self.client = treq.testing.StubTreq(app.resource())

    def authenticate(self, *_: object) -> Any:
        return self.who

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Make a request; return the answer with what is in it."""
        data = None if body is None else json.dumps(body).encode()
        url = f"http://127.0.0.1{path}"
        answer = self.successResultOf(self.client.request(method, url, data=data))
        content = self.successResultOf(answer.content())
        answer.value = json.loads(content) if answer.code < 300 and content else content.decode()
        return answer

    def use(self, name: str) -> Any:
        """Make a request that does what a route is for."""
        path = ROUTES[name].path
        for part, value in NAMES.items():
            path = path.replace(part, "summer" if name == NEW_TAG and value == "spring" else value)
        return self.ask(ROUTES[name].method, path, BODIES.get(name))

    def whole(self) -> Any:
        """Return all that the catalogue has."""
        self.serve({})
        names = [found["namespace"] for found in self.ask("GET", ALL).value["namespaces"]]
        return [self.ask("GET", f"{ALL}/{name}").value for name in names]

    def test_every_rule_is_asked_somewhere(self) -> None:
        asked = {rule for found in ROUTES.values() for rule in found.policies}
        self.assertEqual(asked, set(RULES))

    def test_no_route_does_without_a_rule_of_its_own(self) -> None:
        before = self.whole()
        for name, found in ROUTES.items():
            for rule in found.policies:
                with self.subTest(route=name, refused=rule):
                    self.serve({rule: "!"})
                    answer = self.use(name)
                    if rule == KNOWING and name == "GET /namespaces":
                        self.assertEqual(answer.value["namespaces"], [])
                    elif rule == KNOWING:
                        self.assertEqual(answer.code, 404)
                    else:
                        self.assertEqual((answer.code, rule in answer.value), (403, True))
                    self.assertEqual(self.whole(), before)

    def test_no_route_asks_for_more(self) -> None:
        for name, found in ROUTES.items():
            with self.subTest(route=name):
                self.catalogue.empty()
                self.serve({})
                self.ask("POST", ALL, ACME)
                refused = set(RULES) - set(found.policies) - {KNOWING}
                self.serve(dict.fromkeys(refused, "!"))
                self.assertIn(self.use(name).code, found.success)

    def test_who_may_not_know_of_a_namespace_finds_nothing_in_it(self) -> None:
        """Whatever else the policy says yes to; but changing is up to the rules for that."""
        before = self.whole()
        for name in ROUTES:
            if "<namespace_name>" not in name:
                continue
            rules = {KNOWING: "!"}
            if not name.startswith("GET"):
                rules |= dict.fromkeys(ROUTES[name].policies, "!")
            with self.subTest(route=name):
                self.serve(rules)
                answer = self.use(name)
                self.assertEqual(answer.code, 404)
                self.assertIn("Namespace 'Acme' not found.", answer.value)
                self.assertEqual(self.whole(), before)

    def test_a_new_namespace_takes_the_rules_of_what_is_in_it(self) -> None:
        for part, rule in {
            "resource_type_associations": "add_metadef_resource_type_association",
            "objects": "add_metadef_object",
            "properties": "add_metadef_property",
            "tags": "add_metadef_tag",
        }.items():
            for without in (True, False):
                body = {**ACME, "namespace": f"{part} {without}"}
                if without:
                    del body[part]
                with self.subTest(rule=rule, without=without):
                    self.serve({rule: "!"})
                    self.assertEqual(self.ask("POST", ALL, body).code, 201 if without else 403)

    def test_a_page_goes_on_behind_what_the_policy_hides(self) -> None:
        for number in range(4):
            self.ask("POST", ALL, {"namespace": f"n{number}", "visibility": "public"})
        self.serve({KNOWING: "not 'n2':%(namespace)s and not 'n3':%(namespace)s"})
        page, found = self.ask("GET", f"{ALL}?limit=2").value, []
        self.assertEqual(page["namespaces"], [])
        while "next" in page:
            page = self.ask("GET", page["next"].removeprefix("/v2")).value
            found += [namespace["namespace"] for namespace in page["namespaces"]]
        self.assertEqual(found, ["n1", "n0", "Acme"])

    def test_what_is_protected_stays_whatever_the_policy_says(self) -> None:
        self.ask("PUT", f"{ALL}/Acme", {"namespace": "Acme", "protected": True})
        before = self.whole()
        self.serve(dict.fromkeys(RULES, ""))
        for name in ROUTES:
            if name.startswith("DELETE"):
                with self.subTest(route=name):
                    answer = self.use(name)
                    self.assertEqual((answer.code, "protected" in answer.value), (403, True))
        self.assertEqual(self.whole(), before)

    def test_protection_is_no_news_to_who_may_not_delete(self) -> None:
        """Nor is it told of a namespace that the caller may not know of."""
        self.ask("PUT", f"{ALL}/Acme", {**ACME, "protected": True, "owner": "q"})
        for roles, project, words in (
            (("reader",), "p", "You are not authorized"),
            (("service",), "q", "not found"),
        ):
            self.who = caller(*roles, project=project)
            for name in ROUTES:
                if name.startswith("DELETE"):
                    with self.subTest(route=name, project=project):
                        self.assertIn(words, self.use(name).value)

    def test_private_stays_private_whatever_the_policy_says(self) -> None:
        self.ask("PUT", f"{ALL}/Acme", {"namespace": "Acme", "owner": "p"})
        before = self.whole()
        self.serve(dict.fromkeys(RULES, ""))
        self.who = caller("reader", project="q")
        for name in ROUTES:
            if "<namespace_name>" in name:
                with self.subTest(route=name):
                    self.assertEqual(self.use(name).code, 404)
        self.assertEqual(self.ask("GET", ALL).value["namespaces"], [])
        self.assertEqual(self.ask("GET", f"{ALL}?marker=Acme").code, 404)
        self.who = caller("admin")
        self.assertEqual(self.whole(), before)

    def test_a_namespace_that_is_given_away_is_gone(self) -> None:
        """Its new owner sees it, its old one does not."""
        self.ask("PUT", f"{ALL}/Acme", {"namespace": "Acme", "owner": "q"})
        for project, code in (("p", 404), ("q", 200)):
            self.who = caller("reader", project=project)
            for name in ROUTES:
                if name.startswith("GET") and "<namespace_name>" in name:
                    with self.subTest(route=name, project=project):
                        self.assertEqual(self.use(name).code, code)
            entries = self.ask("GET", ALL).value["namespaces"]
            self.assertEqual(len(entries), int(code == 200))
