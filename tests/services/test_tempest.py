"""Tempest's tests of the Images API against live services with a real Keystone.

What of them does not pass stands in a table here, with the reason. Whatever is not as the table
says fails: a test that broke, and one that passes by now, whose line must then be struck out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.functional.server import Server
from tests.services.keystone import Keystone
from tests.services.tempest import TESTS, Known, Tempest, judged, summary, web_site
from tests.venvs import virtual_environment

pytestmark = pytest.mark.service


@dataclass(frozen=True)
class Setup:
    """Services as an operator may set them up, and what tempest is told of them.

    :ivar options: of ``[DEFAULT]``, and of other groups as ``group/option``.
    :ivar features: of tempest's ``[image-feature-enabled]``.
    :ivar known: what does not pass.
    :ivar tests: a regular expression for which of tempest's tests to run.
    """

    options: Mapping[str, object]
    features: Mapping[str, object]
    known: Sequence[Known]
    tests: str = TESTS


IMPORT = "the service does not import images"
NOVA = "tests a compute service as well"
TAKEN_OFF = "expects that an image keeps a location whose data is not as the user has stated"

STRICT = Setup(
    {},
    {},
    [
        Known("skip", "v2.admin.test_image_caching", "the service has no cache"),
        Known("skip", "v2.admin.test_image_task.ImageTaskCreate.test_image_tasks_create",
              "tempest skips it always (bug 2030527)"),
        Known("fail", "v2.admin.test_image_task.ImageTaskCreate."
              "test_task_create_fake_image_location", "the service makes no tasks"),
        Known("skip", "v2.admin.test_images.ImportCopyImagesTest", IMPORT),
        Known("skip", "v2.admin.test_images.MultiStoresImagesTest", IMPORT),
        Known("skip", "v2.test_images.ImportImagesTest", IMPORT),
        Known("skip", "v2.test_images.MultiStoresImportImagesTest", IMPORT),
        Known("skip", "v2.test_images.StoreWeightTest", IMPORT),
        Known("skip", "v2.test_images.ListUserImagesTest",
              "uploads data of no format as if it were of several: see the lax setup"),
        Known("skip", "v2.test_images.LocationImportTest."
              "test_add_location_with_do_secure_hash_false", "see the lax setup"),
        Known("skip", "v2.test_images.MultistoreLocationImportTest."
              "test_add_location_with_do_secure_hash_false", "see the lax setup"),
        Known("fail", "v2.test_images.LocationImportTest."
              "test_add_location_for_image_with_do_secure_hash_true", TAKEN_OFF),
        Known("fail", "v2.test_images.MultistoreLocationImportTest."
              "test_add_location_for_image_with_do_secure_hash_true", TAKEN_OFF),
        Known("skip", "v2.test_images_dependency", NOVA),
        Known("skip", "v2.test_images_formats", NOVA),
        Known("skip", "v2.test_images_negative.ImportImagesNegativeTest", IMPORT),
    ],
)  # fmt: skip

LAX = Setup(
    {"image_format/require_image_format_match": False, "do_secure_hash": False},
    {"image_format_enforcement": False, "do_secure_hash": False},
    [],
    r"ListUserImagesTest|with_do_secure_hash_false",
)

#: What both have in common: two stores that can be written to, and one of other people's servers.
STORES = {
    "enabled_backends": "fast:file,slow:file,web:http",
    "glance_store/default_backend": "fast",
    "fast/weight": 200,
    "slow/weight": 100,
    "show_multiple_locations": True,
}
FEATURES = {
    "import_image": True,
    "manage_locations": True,
    "http_store_enabled": True,
    "store_weight_enabled": True,
}


def by_group(options: Mapping[str, object]) -> dict[str, dict[str, object]]:
    """Sort options named ``group/option`` by group."""
    groups: dict[str, dict[str, object]] = {}
    for name, value in options.items():
        group, _, option = name.rpartition("/")
        groups.setdefault(group or "DEFAULT", {})[option] = value
    return groups


@contextmanager
def service(setup: Setup, keystone: Keystone, place: Path) -> Iterator[Tempest]:
    """Start two nodes of a service, and set tempest up for them."""
    identity = keystone.identity
    with ExitStack() as stack:
        site = stack.enter_context(web_site())
        common = {
            "database/connection": f"sqlite:///{place}/glance.sqlite",
            "fast/filesystem_store_datadir": place / "fast",
            "slow/filesystem_store_datadir": place / "slow",
            "import_filtering_opts/allowed_hosts": "[127.0.0.1]",
            "import_filtering_opts/allowed_ports": f"[80,443,{site.rpartition(':')[2]}]",
            "paste_deploy/flavor": "keystone",
        }
        authtoken = identity.service().authtoken(keystone.url)
        common |= {f"keystone_authtoken/{name}": value for name, value in authtoken.items()}
        options = by_group({**STORES, **common, **setup.options})
        region = identity.region()
        for kind in ("image", "image_remote"):
            node = stack.enter_context(Server(options=options))
            identity.endpoint(kind, node.url, region)
            stack.callback(check_log, node)
        features = {**FEATURES, **setup.features}
        image = {"alternate_image_endpoint": "image_remote"}
        venv = virtual_environment("tempest")
        yield Tempest(venv, keystone.url, region, site, features, image)


def check_log(node: Server) -> None:
    assert node.trouble() == []


@pytest.mark.parametrize("setup", [STRICT, LAX], ids=["strict", "lax"])
def test_images(
    setup: Setup,
    keystone: Keystone,
    tmp_path: Path,
    record_property: Callable[[str, Any], None],
) -> None:
    with service(setup, keystone, tmp_path) as tempest:
        results = tempest.run(setup.tests)
    record_property("said", f"tempest: {summary(results)}")
    wrong = judged(results, setup.known)
    assert not wrong, "\n".join(wrong)
