import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import LimitExceeded
from glance.domain.quotas import Quotas

CHECKS = [
    ("image_tag_quota", "check_tags"),
    ("image_member_quota", "check_members"),
    ("image_location_quota", "check_locations"),
    ("image_size_cap", "check_size"),
]


@pytest.mark.parametrize(("option", "check"), CHECKS)
@given(quota=st.integers(-3, 200), count=st.integers(0, 300))
def test_a_count_is_refused_beyond_its_quota(
    option: str, check: str, quota: int, count: int
) -> None:
    quotas = Quotas(**{option: quota})
    if 0 <= quota < count:
        with pytest.raises(LimitExceeded, match=str(quota)):
            getattr(quotas, check)(count)
    else:
        getattr(quotas, check)(count)


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
