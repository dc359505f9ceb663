"""Images as Hypothesis makes them."""

from __future__ import annotations

from hypothesis import strategies as st

from glance.replicate.documents import is_property
from glance.replicate.record import ImageRecord

#: What services can store.
TEXT = st.text(
    st.characters(min_codepoint=1, max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=6
)
NAMES = st.one_of(
    st.sampled_from(["os_distro", "members", "glance_replicator", "a/b", "a~b", "~1", "date"]),
    TEXT.filter(lambda name: name and is_property(name)),
)
HEX = st.text("0123456789abcdef", min_size=32, max_size=32)
MEMBERS = st.dictionaries(
    st.sampled_from(["p1", "p2", "p3"]), st.sampled_from(["pending", "accepted", "rejected"])
)
FIELDS = st.fixed_dictionaries(
    {
        "name": st.none() | TEXT,
        "visibility": st.sampled_from(["public", "private", "shared", "community"]),
        "owner": st.none() | TEXT,
        "protected": st.booleans(),
        "os_hidden": st.booleans(),
        "min_disk": st.integers(0, 2**31 - 1),
        "min_ram": st.integers(0, 2**31 - 1),
    },
    optional={
        "disk_format": st.sampled_from([None, "raw", "qcow2"]),
        "container_format": st.sampled_from([None, "bare"]),
    },
)


@st.composite
def records(draw, image_id="11111111-1111-4111-8111-111111111111"):
    """Make a record of any kind."""
    algorithm = draw(st.sampled_from([None, "sha512", "sha256"]))
    return ImageRecord(
        image_id,
        draw(st.sampled_from(["queued", "saving", "active", "deactivated"])),
        size=draw(st.none() | st.integers(0, 2**63 - 1)),
        checksum=draw(st.none() | HEX),
        hash_algorithm=algorithm,
        hash_value=draw(HEX) if algorithm else None,
        fields=draw(FIELDS),
        tags=draw(st.frozensets(TEXT, max_size=3)),
        properties=draw(st.dictionaries(NAMES, TEXT, max_size=4)),
        members=draw(st.none() | MEMBERS),
        created_at=draw(st.sampled_from([None, "2026-01-31T12:00:00Z"])),
        updated_at=draw(st.sampled_from([None, "2026-02-28T12:00:00Z"])),
    )
