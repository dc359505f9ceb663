import pytest
from hypothesis import given
from hypothesis import strategies as st

from glance.domain.errors import LimitExceeded
from glance.domain.quotas import Quotas


@given(quota=st.integers(-3, 200), count=st.integers(0, 300))
def test_tags_are_refused_beyond_their_quota(quota: int, count: int) -> None:
    quotas = Quotas(image_tag_quota=quota)
    if 0 <= quota < count:
        with pytest.raises(LimitExceeded, match=f"{count} tags; at most {quota} "):
            quotas.check_tags(count)
    else:
        quotas.check_tags(count)


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
