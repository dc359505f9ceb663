"""Image data is what it is said to be, or it is refused."""

import struct

import pytest

from glance.domain.errors import UnsupportedContent
from glance.domain.inspection import Inspection

MIB = 1024 * 1024


def qcow2(
    *, backing: int = 0, incompatible: int = 0, version: int = 3, size: int = 8 * MIB
) -> bytes:
    """Build a qcow2 header as its specification lays it out, padded to a cluster."""
    header = struct.pack(
        ">4sIQIIQIIQQIIQ", b"QFI\xfb", version, backing, 9 if backing else 0, 16, size,
        0, 1, 0x30000, 0x10000, 1, 0, 0,
    )  # fmt: skip
    header += struct.pack(">QQQII", incompatible, 0, 0, 4, 104)
    return header.ljust(64 * 1024, b"\0")


def inspect(data: bytes, disk_format: str, piece: int = MIB, **options: object) -> int | None:
    inspection = Inspection(disk_format, **options)  # type: ignore[arg-type]
    for start in range(0, len(data), piece):
        inspection.feed(memoryview(data)[start : start + piece])
    return inspection.finish()


@pytest.mark.parametrize("piece", [7, 512, 4096, MIB])
def test_virtual_size_comes_from_the_header(piece):
    assert inspect(qcow2(size=123 * MIB), "qcow2", piece) == 123 * MIB


def test_virtual_size_of_raw_data_is_its_length():
    assert inspect(b"x" * 1_234_567, "raw") == 1_234_567


def test_no_data_at_all_is_raw():
    assert inspect(b"", "raw") == 0


def test_raw_takes_any_format():
    assert inspect(qcow2(size=5 * MIB), "raw") == 5 * MIB


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "vdi", "vhd", "vhdx", "iso"])
def test_other_content_is_refused(disk_format):
    with pytest.raises(UnsupportedContent, match=f"disk_format is {disk_format}"):
        inspect(b"no disk of any kind " * 100_000, disk_format)


def test_mismatch_is_found_before_the_end():
    inspection = Inspection("qcow2")
    with pytest.raises(UnsupportedContent):
        for _ in range(3):
            inspection.feed(memoryview(b"z" * MIB))


@pytest.mark.parametrize("disk_format", ["aki", "ari", "ami", "ploop", "of-our-own"])
def test_formats_without_an_inspector_take_what_looks_like_no_other(disk_format):
    assert inspect(b"kernel" * 1000, disk_format) == 6000
    with pytest.raises(UnsupportedContent, match="content is qcow2"):
        inspect(qcow2(), disk_format)


@pytest.mark.parametrize("disk_format", ["qcow2", "raw"])
@pytest.mark.parametrize(
    ("header", "check"),
    [
        (qcow2(backing=0x200), "backing_file"),
        (qcow2(incompatible=1 << 2), "data_file"),
        (qcow2(incompatible=1 << 40), "unknown_features"),
    ],
)
@pytest.mark.parametrize("require_match", [True, False])
def test_data_that_refers_outside_itself_is_refused(disk_format, header, check, require_match):
    with pytest.raises(UnsupportedContent, match=check):
        inspect(header, disk_format, require_match=require_match)


@pytest.mark.parametrize(
    "header", [qcow2(backing=0x200), qcow2(incompatible=1 << 2), b"QED\0" + bytes(4096)]
)
@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "raw"])
def test_a_container_does_not_hide_what_refers_outside_itself(header, disk_format):
    with pytest.raises(UnsupportedContent):
        inspect(header, disk_format, contained=True)


@pytest.mark.parametrize("disk_format", ["qcow2", "vmdk", "raw", "iso"])
def test_a_container_holds_anything_else(disk_format):
    for data in (b"", b"an archive " * 1000, qcow2(), gpt_disk(boot_flag=0x33)):
        assert inspect(data, disk_format, contained=True) is None


def test_a_mismatch_passes_when_matching_is_not_required():
    assert inspect(b"x" * 1000, "qcow2", require_match=False) == 1000


def test_qed_is_never_taken():
    header = b"QED\0" + struct.pack("<III", 65536, 4, 1) + b"\0" * 4096
    with pytest.raises(UnsupportedContent, match="qed"):
        inspect(header, "raw")


def gpt_disk(boot_flag: int = 0) -> bytes:
    mbr = bytearray(512)
    mbr[446:462] = bytes([boot_flag, 0, 2, 0, 0xEE, 0xFF, 0xFF, 0xFF]) + struct.pack("<II", 1, 2047)
    mbr[510:] = b"\x55\xaa"
    return bytes(mbr).ljust(MIB, b"\0")


def test_a_partitioned_disk_is_raw():
    assert inspect(gpt_disk(), "raw") == MIB


def test_a_broken_partition_table_is_refused_unless_tolerated():
    with pytest.raises(UnsupportedContent, match="mbr"):
        inspect(gpt_disk(boot_flag=0x33), "raw")
    assert inspect(gpt_disk(boot_flag=0x33), "raw", gpt_nonfatal=["mbr"]) == MIB
    assert inspect(gpt_disk(boot_flag=0x33), "aki") == MIB
