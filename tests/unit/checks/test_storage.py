import os
import threading

import pytest

from glance.checks import storage
from glance.checks.results import Level
from glance.checks.storage import thd_stores
from glance.stores.errors import BadStoreConfiguration, WriteDenied
from glance.stores.partfile import PartFile
from tests.unit.checks.conftest import bad, levels

SEVERAL = """\
[DEFAULT]
enabled_backends = {}
[glance_store]
default_backend = a
[a]
filesystem_store_datadir = {}/a
[b]
filesystem_store_datadir = {}/b
"""


@pytest.fixture(autouse=True)
def roomy(monkeypatch):
    """However full the disk is on which tests run."""
    monkeypatch.setattr("glance.checks.places.NEARLY_FULL", 0)


@pytest.fixture
def several(make, tmp_path):
    def several(backends="a:file, b:file", extra=""):
        text = SEVERAL.format(backends, tmp_path, tmp_path)
        return make(text + extra, default_store=False)

    return several


def test_good(make, tmp_path):
    setting = make()
    findings = list(thd_stores(setting))
    assert levels(findings) == [Level.SUCCESS]
    assert findings[0].text.startswith(f"Store file: {tmp_path}/images has ")
    assert setting.stores.default.driver == "file"
    assert os.listdir(tmp_path / "images") == []


def test_directories_that_are_not_there_yet(several, tmp_path):
    findings = list(thd_stores(several()))
    assert levels(findings) == [Level.SUCCESS] * 2
    assert findings[1].text.startswith(f"Store b: {tmp_path}/b is not there yet")
    assert not (tmp_path / "b").exists()


def test_a_real_file_is_written_and_removed(make, tmp_path, monkeypatch):
    written = []
    real = PartFile.thd_write

    def write(self, offset, data):
        written.append((self.directory, len(data), os.listdir(self.directory)))
        real(self, offset, data)

    monkeypatch.setattr(PartFile, "thd_write", write)
    assert not bad(thd_stores(make()))
    ((directory, length, names),) = written
    assert (directory, length) == (f"{tmp_path}/images", 4096)
    # As the sweep knows them, should we be killed here.
    assert names[0].startswith(".glance-status.") and names[0].endswith(".part")
    assert os.listdir(tmp_path / "images") == []


def test_a_directory_that_refuses(make, tmp_path, monkeypatch):
    def refuse(self, offset, data):
        raise WriteDenied("The store's permissions do not allow writing.")

    monkeypatch.setattr(PartFile, "thd_write", refuse)
    (told,) = bad(thd_stores(make()))
    assert told.startswith(f"Store file: {tmp_path}/images was tried by writing a file into it: ")
    assert os.listdir(tmp_path / "images") == []


def test_every_directory_is_tried(make, tmp_path):
    (tmp_path / "x").write_text("")
    setting = make(
        f"[glance_store]\nfilesystem_store_datadirs = {tmp_path}/images:2\n"
        f"filesystem_store_datadirs = {tmp_path}/x\n",
        default_store=False,
    )
    findings = list(thd_stores(setting))
    assert levels(findings) == [Level.SUCCESS, Level.FAILURE]
    assert f"{tmp_path}/x is not a directory" in findings[1].text


@pytest.mark.parametrize(
    "options",
    ["filesystem_store_file_perm = 44", "filesystem_store_metadata_file = /nonexistent"],
)
def test_options_of_a_store(several, options):
    findings = list(thd_stores(several(extra=options)))
    assert levels(findings[:-1]) == [Level.SUCCESS] * (len(findings) - 1)
    assert findings[-1].level is Level.FAILURE
    assert findings[-1].text.startswith("Store b: ")


def test_one_directory_for_two(several, tmp_path):
    setting = several(extra=f"filesystem_store_datadir = {tmp_path}/a\n")
    (told,) = bad(thd_stores(setting))
    assert told.startswith("Stores a and b share the directory")


@pytest.mark.parametrize("backends", ["a:file, b:swift", "b:file", "a:file, b:sheepdog"])
def test_sets_that_no_service_starts_with(several, backends):
    with pytest.raises(BadStoreConfiguration):
        list(thd_stores(several(backends)))


def test_a_driver_that_is_not_there(make, tmp_path):
    text = f"[glance_store]\nstores = file, rbd\nfilesystem_store_datadir = {tmp_path}/images\n"
    (told,) = bad(thd_stores(make(text, default_store=False)))
    assert "no driver yet for rbd" in told


def test_web_servers(several):
    setting = several("a:file, b:http", extra="https_ca_certificates_file = /nonexistent\n")
    (told,) = bad(thd_stores(setting))
    assert told.startswith("Store b: [b] https_ca_certificates_file")
    setting = several("a:file, b:http", extra="https_insecure = true\n")
    (told,) = bad(thd_stores(setting))
    assert "are not verified" in told


def test_a_store_that_hangs_hides_no_other(several, tmp_path, monkeypatch):
    release = threading.Event()
    real = storage.thd_try_directory

    def hang(path, perm, direct):
        if path.endswith("/a"):
            release.wait()
        yield from real(path, perm, direct)

    monkeypatch.setattr(storage, "thd_try_directory", hang)
    setting = several()
    setting.patience = 0.1
    try:
        findings = list(thd_stores(setting))
    finally:
        release.set()
    assert findings[0].level is Level.FAILURE
    assert findings[0].text.startswith("Store a has not answered within 0.09 seconds.")
    assert findings[1].text.startswith(f"Store b: {tmp_path}/b")
