"""The field's own clients: do they do their work with us, as far as images are concerned?"""

import json
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.functional.clients import Clients, clients, venv
from tests.functional.server import Server
from tests.functional.wire import MIB, data_of

__all__ = ["clients", "venv"]

pytestmark = pytest.mark.clients

VIRTUAL_SIZE = 64 * MIB


@dataclass(frozen=True)
class DiskImage:
    path: Path
    disk_format: str

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture(scope="session")
def disk(tmp_path_factory: pytest.TempPathFactory) -> DiskImage:
    """A disk with 8 MiB of data on it; in qcow2 where there is a tool to make one."""
    raw = tmp_path_factory.mktemp("disk") / "disk.raw"
    with raw.open("wb") as file:
        file.seek(MIB)
        file.write(data_of(8 * MIB))
        file.truncate(VIRTUAL_SIZE)
    if shutil.which("qemu-img") is None:
        return DiskImage(raw, "raw")
    qcow2 = raw.with_suffix(".qcow2")
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, qcow2]
    subprocess.run(command, capture_output=True, check=True)
    return DiskImage(qcow2, "qcow2")


def check_active(server: Server, image_id: str, disk: DiskImage) -> None:
    image = server.show(image_id)
    assert (image["status"], image["size"]) == ("active", len(disk.data))
    assert image["virtual_size"] == VIRTUAL_SIZE


def test_glanceclient(server: Server, clients: Clients, disk: DiskImage) -> None:
    def glance(*arguments: str) -> str:
        return clients.run(
            "glance", "--os-image-url", server.url, "--os-auth-token", "none", *arguments
        )

    formats = ["--disk-format", disk.disk_format, "--container-format", "bare"]
    # One step to create and upload, then two.
    shown = glance("image-create", "--name", "one step", *formats, "--file", str(disk.path))
    one = shown.split("| id ", 1)[1].split("|")[1].strip()
    check_active(server, one, disk)
    two = server.create(name="two steps", disk_format=disk.disk_format)
    glance("image-upload", "--file", str(disk.path), two)
    check_active(server, two, disk)
    listed = glance("image-list", "--property-filter", "name=two steps")
    assert two in listed
    assert one not in listed
    # The client checks the hash of what it gets.
    glance("image-download", "--file", "downloaded", two)
    assert (clients.home / "downloaded").read_bytes() == disk.data
    glance("image-update", "--name", "changed", "--property", "colour=red", two)
    glance("image-tag-update", two, "tagged")
    image = server.show(two)
    assert (image["name"], image["colour"], image["tags"]) == ("changed", "red", ["tagged"])
    assert "red" in glance("image-show", two)
    glance("image-tag-delete", two, "tagged")
    glance("image-deactivate", two)
    assert server.status(two) == "deactivated"
    glance("image-reactivate", two)
    assert server.status(two) == "active"
    glance("image-delete", one, two)
    for deleted in (one, two):
        assert server.request("GET", f"/v2/images/{deleted}").status == 404


def test_openstackclient(server: Server, clients: Clients, disk: DiskImage) -> None:
    def openstack(*arguments: str) -> str:
        return clients.run(
            "openstack", "--os-auth-type", "none", "--os-endpoint", server.url, *arguments
        )

    name = f"openstack-{disk.path.stat().st_ino}"
    formats = ["--disk-format", disk.disk_format, "--container-format", "bare"]
    extra = ["--tag", "one", "--property", "colour=red", "--file", str(disk.path)]
    made = json.loads(openstack("image", "create", *formats, *extra, "-f", "json", name))
    check_active(server, made["id"], disk)
    assert name in openstack("image", "list", "--tag", "one", "--sort", "name:asc")
    shown = json.loads(openstack("image", "show", "-f", "json", name))
    assert shown["properties"]["colour"] == "red"
    openstack("image", "set", "--tag", "two", "--property", "colour=blue", name)
    openstack("image", "unset", "--tag", "one", name)
    image = server.show(made["id"])
    assert (image["colour"], image["tags"]) == ("blue", ["two"])
    openstack("image", "set", "--deactivate", name)
    assert server.status(made["id"]) == "deactivated"
    openstack("image", "set", "--activate", name)
    openstack("image", "save", "--file", "saved", name)
    assert (clients.home / "saved").read_bytes() == disk.data
    openstack("image", "delete", name)
    assert server.request("GET", f"/v2/images/{made['id']}").status == 404


SDK_SESSION = """
import hashlib, sys
import openstack

url, path, disk_format = sys.argv[1:]
cloud = openstack.connect(auth_type="none", endpoint=url, image_endpoint_override=url)
image = cloud.image.create_image(
    "sdk", filename=path, disk_format=disk_format, container_format="bare", tags=["one"],
    validate_checksum=True, wait=True, colour="red",
)
data = open(path, "rb").read()
assert image.status == "active", image.status
assert image.hash_value == hashlib.sha512(data).hexdigest()
assert cloud.image.find_image("sdk").id == image.id
assert image.id in [found.id for found in cloud.image.images(tag="one", limit=1)]
cloud.image.update_image(image, name="changed", colour="blue")
cloud.image.add_tag(image, "two")
cloud.image.remove_tag(image, "one")
shown = cloud.image.get_image(image.id)
assert (shown.name, shown.properties["colour"], shown.tags) == ("changed", "blue", ["two"])
with open("downloaded", "wb") as file:
    # The checksum is verified on the way.
    cloud.image.download_image(image, output=file)
assert open("downloaded", "rb").read() == data
assert cloud.image.download_image(image).content == data
cloud.image.deactivate_image(image)
assert cloud.image.get_image(image.id).status == "deactivated"
cloud.image.reactivate_image(image)
cloud.image.delete_image(image)
assert cloud.image.find_image("changed") is None
print("done")
"""


def test_openstacksdk(server: Server, clients: Clients, disk: DiskImage) -> None:
    arguments = [server.url, str(disk.path), disk.disk_format]
    assert clients.run("python", "-", *arguments, stdin=SDK_SESSION).endswith("done\n")
