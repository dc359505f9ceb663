"""Findings are judged so that nothing is ever made worse by what is done about them."""

from __future__ import annotations

from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.image import Image
from glance.domain.verification import (
    BAD,
    DEACTIVATE,
    DROP,
    FILL_IN,
    GOOD,
    HASH_MISMATCH,
    LEFTOVER,
    MISSING_DATA,
    NO_HASH,
    NO_LOCATION,
    NOTHING,
    ORPHAN,
    REPAIRS,
    SET_ASIDE,
    SEVERITY,
    SIZE_MISMATCH,
    STRIKE_OFF,
    UNKNOWN,
    UNREACHABLE,
    UNTOLD,
    Digests,
    Verdict,
    differing_hashes,
    differs_in_size,
    image_id_of,
    judge,
    judge_object,
    too_many,
)

IMAGE = "9d1c3f0e-6a51-4f3e-8d60-8f6f2f3c7a11"
ACTIVE = Image(IMAGE, status="active", size=4, os_hash_algo="sha512", os_hash_value="aa")
HASHLESS = replace(ACTIVE, os_hash_algo=None, os_hash_value=None)
ONE, OTHER = Digests("sha512", "aa", "bb"), Digests("sha512", "cc", "dd")

good = Verdict(1, "one", GOOD)
missing = Verdict(2, "two", BAD, kind=MISSING_DATA)
unreachable = Verdict(3, None, UNTOLD, kind=UNREACHABLE)
failing = Verdict(4, "four", UNTOLD, error="it does not answer")
foreign = Verdict(5, "five", BAD, ours=False, kind=MISSING_DATA)


def kinds_and_actions(image, *verdicts):
    return [(finding.kind, finding.action) for finding in judge(image, verdicts)]


def test_all_is_well():
    assert judge(ACTIVE, [good]) == []


def test_the_only_copy_is_gone():
    (finding,) = judge(ACTIVE, [missing])
    assert (finding.action, finding.location, finding.store) == (DEACTIVATE, 2, "two")


def test_the_image_is_deactivated_already():
    (finding,) = judge(replace(ACTIVE, status="deactivated"), [missing])
    assert finding.action == NOTHING and "deactivated already" in finding.reason


def test_there_is_a_good_copy():
    assert kinds_and_actions(ACTIVE, good, missing) == [(MISSING_DATA, STRIKE_OFF)]


@pytest.mark.parametrize("other", [unreachable, failing, foreign])
def test_of_another_copy_nothing_is_known(other):
    assert (MISSING_DATA, NOTHING) in kinds_and_actions(ACTIVE, missing, other)


def test_data_of_others_is_let_be():
    assert kinds_and_actions(ACTIVE, foreign) == [(MISSING_DATA, NOTHING)]


def test_an_error_is_no_finding():
    assert judge(ACTIVE, [failing]) == []


def test_no_location():
    assert kinds_and_actions(ACTIVE) == [(NO_LOCATION, DEACTIVATE)]


@pytest.mark.parametrize("size", [0, None])
def test_no_location_and_no_data_either(size):
    assert judge(replace(ACTIVE, size=size), []) == []


def test_missing_hashes_are_filled_in():
    (finding,) = judge(HASHLESS, [replace(good, digests=ONE)])
    assert (finding.kind, finding.action) == (NO_HASH, FILL_IN)
    assert finding.found == {"os_hash_algo": "sha512", "os_hash_value": "aa", "checksum": "bb"}


def test_missing_hashes_of_copies_that_agree():
    copies = [replace(good, digests=ONE), replace(good, location=2, digests=ONE)]
    assert kinds_and_actions(HASHLESS, *copies) == [(NO_HASH, FILL_IN)]


def test_missing_hashes_of_copies_that_differ():
    copies = [replace(good, digests=ONE), replace(good, location=2, digests=OTHER)]
    assert kinds_and_actions(HASHLESS, *copies) == [(HASH_MISMATCH, NOTHING)] * 2


def test_a_lost_copy_where_those_left_differ():
    copies = [replace(good, digests=ONE), replace(good, location=2, digests=OTHER), missing]
    assert all(action == NOTHING for _, action in kinds_and_actions(HASHLESS, *copies))


def test_missing_hashes_with_a_copy_that_could_not_be_read():
    copies = [replace(good, digests=ONE), failing]
    assert kinds_and_actions(HASHLESS, *copies) == [(NO_HASH, NOTHING)]


def test_lengths():
    assert differs_in_size(ACTIVE, 5)
    assert not differs_in_size(ACTIVE, 4)
    assert not differs_in_size(replace(ACTIVE, size=None), 5)


def test_hashes():
    image = replace(ACTIVE, checksum="BB")
    assert differing_hashes(image, ONE) == ({}, {})
    assert differing_hashes(image, replace(ONE, checksum="ee")) == (
        {"checksum": "BB"},
        {"checksum": "ee"},
    )
    assert differing_hashes(image, OTHER)[1] == {"os_hash_value": "cc", "checksum": "dd"}
    assert differing_hashes(image, replace(OTHER, algorithm="sha256", checksum="bb")) == ({}, {})


verdicts = st.lists(
    st.sampled_from(
        [good, replace(good, digests=ONE), replace(good, digests=OTHER), missing, unreachable]
        + [failing, foreign, Verdict(0, "six", BAD, kind=SIZE_MISMATCH)]
    ),
    max_size=5,
).map(lambda many: [replace(each, location=number) for number, each in enumerate(many)])
images = st.builds(
    replace,
    st.sampled_from([ACTIVE, HASHLESS]),
    status=st.sampled_from(["active", "deactivated"]),
    size=st.sampled_from([None, 0, 4]),
)


@given(images, verdicts)
def test_nothing_is_made_worse(image, copies):
    findings = judge(image, copies)
    struck = {f.location for f in findings if f.action == STRIKE_OFF}
    states = {copy.location: copy for copy in copies}
    # What is left of an image that loses copies is good, and is more than nothing.
    if struck:
        assert any(c.state == GOOD for c in copies if c.location not in struck)
        assert all(states[place].state == BAD and states[place].ours for place in struck)
        assert not any(f.action == DEACTIVATE for f in findings)
    # Only an image with nothing good, of which that is certain, is deactivated.
    if any(f.action == DEACTIVATE for f in findings):
        assert image.status == "active"
        assert all(copy.state == BAD and copy.ours for copy in copies)
    # Hashes are those of data that all readable copies agree on.
    if any(f.action == FILL_IN for f in findings):
        assert not image.os_hash_value
        assert len({c.digests for c in copies if c.digests}) == 1
    for finding in findings:
        assert finding.kind in SEVERITY
        assert (finding.action == NOTHING) == (finding.reason is not None)
        assert finding.action == NOTHING or finding.action in REPAIRS
    # What is not good is told.
    for copy in copies:
        assert copy.kind is None or any(f.location == copy.location for f in findings)


def judged(name=IMAGE, **changes):
    held = {"key": f"/images/{name}", "name": name, "size": 1, "modified": 0.0}
    given = {"leftover": False, "foreign": False, "status": None, "writable": True}
    given |= {"unreadable": 0, "age": 100.0, "grace": 10.0}
    return judge_object("one", held, **{**given, **changes})


def test_data_without_an_image():
    finding = judged()
    assert (finding.kind, finding.action, finding.image) == (ORPHAN, SET_ASIDE, IMAGE)


@pytest.mark.parametrize(
    "changes", [{"age": 1.0}, {"status": "pending_delete"}, {"writable": False}, {"unreadable": 1}]
)
def test_data_without_an_image_that_is_let_be(changes):
    finding = judged(**changes)
    assert (finding.kind, finding.action) == (ORPHAN, NOTHING)


def test_leftovers_go_however_young():
    finding = judged(f".{IMAGE}.part", leftover=True, age=0.0)
    assert (finding.kind, finding.action, finding.image) == (LEFTOVER, DROP, None)


@pytest.mark.parametrize(("name", "foreign"), [("README", False), (IMAGE, True)])
def test_what_the_service_did_not_write(name, foreign):
    finding = judged(name, foreign=foreign)
    assert (finding.kind, finding.action) == (UNKNOWN, NOTHING)


def test_names_of_images():
    assert image_id_of(IMAGE) == IMAGE
    assert image_id_of(IMAGE.replace("-", "")) is None
    assert image_id_of(f"{{{IMAGE}}}") is None
    assert image_id_of("") is None
    assert image_id_of(name := str(uuid4())) == name


@pytest.mark.parametrize(
    ("damaged", "looked_at", "expected"),
    [(0, 0, False), (2, 2, False), (3, 5, True), (3, 6, False), (500, 1000, False), (3, 0, True)],
)
def test_too_much_to_be_true(damaged, looked_at, expected):
    assert too_many(damaged, looked_at) is expected
