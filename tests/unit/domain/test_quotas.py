from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.config.valuetypes import Quota
from glance.domain.errors import LimitExceeded
from glance.domain.quotas import (
    MIB,
    NO_LIMITS,
    UNIFIED,
    OtherOwner,
    OwnerLimits,
    Quotas,
    Room,
    Usage,
    parse_bytes,
    render_usage,
)


@pytest.mark.parametrize("what", ["tags", "members", "locations"])
@given(quota=st.integers(-3, 200), count=st.integers(0, 300))
def test_parts_are_refused_beyond_their_quota(what: str, quota: int, count: int) -> None:
    quotas = Quotas(**{f"image_{what.removesuffix('s')}_quota": quota})
    check: Callable[[int], None] = getattr(quotas, f"check_{what}")
    if 0 <= quota < count:
        with pytest.raises(LimitExceeded, match=f"{count} {what}; at most {quota} "):
            check(count)
    else:
        check(count)


@given(quota=st.integers(-2, 6), own=st.integers(0, 4), others=st.integers(0, 8))
def test_internal_properties_do_not_count(quota: int, own: int, others: int) -> None:
    names = [f"os_glance_{n}" for n in range(own)] + [f"hw_{n}" for n in range(others)]
    quotas = Quotas(image_property_quota=quota)
    if 0 <= quota < others:
        with pytest.raises(LimitExceeded, match=f"{others} custom properties; at most {quota} "):
            quotas.check_properties(names)
    else:
        quotas.check_properties(names)


def test_the_defaults_are_those_of_the_options() -> None:
    assert Quotas() == Quotas(128, 128, 128, 10, 1_099_511_627_776)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("123", 123),
        ("123B", 123),
        ("0B", 0),
        ("1KB", 1024),
        ("007mb", 7 * 1024**2),
        ("20Gb", 20 * 1024**3),
        ("3TB", 3 * 1024**4),
    ],
)
def test_bytes_with_units(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@given(st.text("0123456789.KMGTBkmgtbi -", max_size=6))
def test_what_the_configuration_takes_for_bytes_are_some(text: str) -> None:
    try:
        taken = Quota()(text)
    except ValueError:
        assert not text.strip().isdigit()
    else:
        assert parse_bytes(taken) >= int("".join(c for c in text if c.isdigit()))


@given(limit=st.integers(0, 20), taken=st.integers(0, 25), more=st.integers(0, 25))
def test_room_is_exact(limit: int, taken: int, more: int) -> None:
    room = Room("bytes", limit, taken)
    if taken + more > limit:
        left = max(0, limit - taken)
        with pytest.raises(LimitExceeded, match=rf"\b{limit} bytes; {taken} .* {left} are left"):
            room.check(more)
    else:
        room.check(more)


def test_what_others_have_is_not_told() -> None:
    with pytest.raises(LimitExceeded) as refusal:
        Room("bytes", 17, 16, told=False).check(2)
    assert not any(character.isdigit() for character in str(refusal.value))


ROOMS = ("room_for_data", "room_for_staging", "room_for_images", "room_for_uploads")


@pytest.mark.parametrize(("room", "limit"), list(zip(ROOMS, (11, 12, 13, 14), strict=True)))
def test_each_limit_leaves_its_room(room: str, limit: int) -> None:
    limits = OwnerLimits("p", False, 11, 12, 13, 14)
    found = getattr(limits, room)(5, False)
    assert (found.limit, found.taken, found.told) == (limit, 5, False)
    assert getattr(limits, room)(5).told
    assert getattr(NO_LIMITS, room)(5) is None


def test_limits_are_of_one_owner() -> None:
    limits = OwnerLimits.of_project("p", {})
    limits.check_owner("p")
    for other in ("q", None):
        with pytest.raises(OtherOwner) as caught:
            limits.check_owner(other)
        assert caught.value.owner == other
        NO_LIMITS.check_owner(other)
    OwnerLimits().check_owner(None)


def test_keystone_counts_data_in_mebibytes_and_what_it_does_not_name_allows_nothing() -> None:
    limits = OwnerLimits.of_project(
        "p", {"image_size_total": 3, "image_count_total": 5, "image_count_uploading": -1, "x": 1}
    )
    assert limits == OwnerLimits("p", False, 3 * MIB, 0, 5, None)
    with pytest.raises(LimitExceeded):
        limits.room_for_staging(0).check(1)  # type: ignore[union-attr]


@given(st.lists(st.integers(-1, 2**40), min_size=4, max_size=4))
def test_limits_are_shown_as_keystone_has_them(numbers: list[int]) -> None:
    given_limits = dict(zip(UNIFIED, numbers, strict=True))
    shown = render_usage(Usage(), OwnerLimits.of_project("p", given_limits))
    assert {name: entry["limit"] for name, entry in shown.items()} == given_limits


def test_usage_is_shown_in_whole_units() -> None:
    usage = Usage(2 * MIB - 1, 3 * MIB, 4, 5)
    shown = render_usage(usage, OwnerLimits("p", False, 10 * MIB, None, 6, 7))
    assert shown == {
        "image_size_total": {"usage": 1, "limit": 10},
        "image_stage_total": {"usage": 3, "limit": -1},
        "image_count_total": {"usage": 4, "limit": 6},
        "image_count_uploading": {"usage": 5, "limit": 7},
    }
