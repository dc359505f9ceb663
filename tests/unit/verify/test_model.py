"""Whatever is wrong is found, and nothing else; repaired, what can be well is well."""

from __future__ import annotations

import unittest
from dataclasses import dataclass
from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glance.db import images
from glance.stores.partfile import host_mark
from tests.unit.verify.support import DATA, VerifyCase

FLIPPED = b"Some data"
BAD = {"gone": "missing_data", "short": "size_mismatch", "flipped": "hash_mismatch"}


@dataclass(frozen=True)
class Drawn:
    """An image, its copies in each of two stores, and what else has its name."""

    status: str
    hashed: bool
    copies: tuple[str | None, str | None]

    @property
    def verified(self):
        return self.status in ("active", "deactivated")

    def is_bad(self, copy, hashes):
        # Without a hash there still is the checksum.
        return copy in BAD and (hashes or copy != "flipped")

    def expected(self, number, hashes):
        """Return the findings, and the status after repair."""
        image_id = name(number)
        if not self.verified:
            return set(), self.status
        there = [copy for copy in self.copies if copy]
        if not there:
            return {("no_location", image_id, None)}, "deactivated"
        found = {
            (BAD[copy], image_id, store)
            for copy, store in zip(self.copies, ("one", "two"), strict=True)
            if copy and self.is_bad(copy, hashes)
        }
        good = len(there) - len(found)
        if hashes and not self.hashed and good:
            found.add(("no_hash", image_id, None))
        return found, self.status if good else "deactivated"


def name(number):
    return str(UUID(int=number + 1, version=4))


drawn = st.builds(
    Drawn,
    st.sampled_from(["active"] * 4 + ["deactivated", "queued"]),
    st.booleans(),
    st.tuples(*[st.sampled_from([None, "ok", "ok", *BAD])] * 2),
)
strays = st.lists(st.sampled_from(["orphan", "leftover", "unknown", "pending_delete"]), max_size=3)


class Scenario(VerifyCase):
    """One catalogue with its stores, run by the test below."""

    __test__ = False

    def runTest(self):
        for number, image in enumerate(self.images):
            self.add(number, image)
        for number, stray in enumerate(self.strays, start=100):
            self.add_stray(number, stray)
        expected = set()
        for number, image in enumerate(self.images):
            expected |= image.expected(number, self.hashes)[0]
        expected |= {(stray, None, None) for stray in self.strays if stray != "pending_delete"}
        before = self.files()
        self.assertEqual(self.kinds(hashes=self.hashes), expected)
        self.assertEqual(self.files(), before)
        self.kinds(hashes=self.hashes, repair=True, really=True, force=True, kept=False)
        for number, image in enumerate(self.images):
            status = image.expected(number, self.hashes)[1]
            self.assertEqual(self.get(name(number)).status, status)
        # All data that anybody may want is somewhere still.
        self.assertEqual(
            sorted(self.files().values()),
            sorted(data for path, data in before.items() if not path.endswith(".part")),
        )
        # What struck-off copies leave is set aside by the next run, and that is the end of it.
        self.kinds(hashes=self.hashes, repair=True, really=True, force=True, kept=False)
        left = self.verify(hashes=self.hashes, kept=False)
        for finding in left["findings"]:
            if finding["kind"] != "unknown":
                self.assertEqual(self.get(finding["image"]).status, "deactivated")
                self.assertEqual(finding["repair"]["action"], "none")

    def add(self, number, image):
        image_id = name(number)
        if not image.verified:
            self.add_image(id=image_id, status=image.status)
            return
        hashes = {} if image.hashed else {"os_hash_algo": None, "os_hash_value": None}
        self.whole(image_id, status=image.status, **hashes)
        for copy, store in zip(image.copies, ("one", "two"), strict=True):
            if copy:
                self.refer(image_id, store)
            if copy and copy != "gone":
                data = {"ok": DATA, "short": DATA[1:], "flipped": FLIPPED}[copy]
                self.put(store, image_id, data)

    def add_stray(self, number, stray):
        if stray == "leftover":
            self.put("one", f".{name(number)}.{host_mark()}-0123456789abcdef.part")
        elif stray == "unknown":
            self.put("two", f"file-{number}")
        else:
            self.put("one", name(number))
        if stray == "pending_delete":
            self.whole(name(number), "two")
            self.refer(name(number), "one")
            image = self.get(name(number))
            self.run_in_database(images.thd_mark_deleted, image, delayed=True)

    def kinds(self, **settings):
        imageless = {"no_hash", "no_location", "orphan", "leftover", "unknown"}
        strays = {"orphan", "leftover", "unknown"}
        return {
            (
                each["kind"],
                None if each["kind"] in strays else each["image"],
                None if each["kind"] in imageless else each["store"],
            )
            for each in self.verify(**settings)["findings"]
        }


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(drawn, max_size=4), strays, st.booleans())
def test_whatever_is_wrong_is_found_and_nothing_else(images, strays, hashes):
    scenario = Scenario("runTest")
    scenario.images, scenario.strays, scenario.hashes = images, strays, hashes
    result = unittest.TestResult()
    scenario.run(result)
    assert result.wasSuccessful(), (result.errors + result.failures)[0][1]
