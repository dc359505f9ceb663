"""What is in a file store's directories is listed whole, in order, and moved only if it is that."""

import fcntl
import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from glance.stores.errors import DataNotFound, DeleteForbidden, StoreError
from glance.stores.holdings import ASIDE, FileHoldings, key_of, path_of
from glance.stores.interfaces import FOREIGN, LEFTOVER, OBJECT, IHoldings, IListable
from glance.stores.partfile import PartFile, host_mark
from glance.stores.threads import InlinePool, Threads
from tests.unit.stores.contract import IMAGE, OTHER
from tests.unit.stores.doubles import file_store


class HoldingsCase(SynchronousTestCase):
    def setUp(self):
        place = TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.root = Path(os.path.realpath(place.name))
        self.holdings = holdings_of([str(self.root)])

    def file(self, name=IMAGE, data=b"data"):
        path = self.root / name
        path.write_bytes(data)
        return path

    def all(self, limit=10):
        return every(self.holdings, limit)

    def one(self, name=IMAGE):
        return self.successResultOf(self.holdings.look(str(self.root / name)))


def holdings_of(directories, **given):
    threads = Threads(Clock(), "file", 1, pool=InlinePool())
    threads.start()
    return FileHoldings(threads, directories, **given)


def every(holdings, limit=10, after=""):
    found = []
    while page := holdings.page(after, limit).result:
        found += page
        after = page[-1].key
    return found


class ListingTests(HoldingsCase):
    def test_interfaces(self):
        verifyObject(IHoldings, self.holdings)
        store = file_store(filesystem_store_datadir=str(self.root))
        verifyObject(IListable, store)
        self.successResultOf(store.start())
        self.file()
        self.assertEqual([held.name for held in every(store.holdings())], [IMAGE])

    def test_a_file(self):
        path = self.file()
        os.utime(path, (5, 5))
        (held,) = self.all()
        self.assertEqual(
            (held.key, held.name, held.kind, held.size, held.modified),
            (str(path), IMAGE, OBJECT, 4, 5.0),
        )
        self.assertEqual(self.one(), held)

    def test_several_directories_one_of_them_by_a_link(self):
        for name in "ab":
            (self.root / name).mkdir()
            (self.root / name / IMAGE).touch()
        (self.root / "link").symlink_to(self.root / "a")
        holdings = holdings_of([f"{self.root}/b", f"{self.root}/link", f"{self.root}/a"])
        keys = [held.key for held in every(holdings, 1)]
        self.assertEqual(keys, [f"{self.root}/a/{IMAGE}", f"{self.root}/b/{IMAGE}"])

    def test_what_nobody_put_there(self):
        (self.root / "directory").mkdir()
        (self.root / "link").symlink_to("/etc/passwd")
        os.mkfifo(self.root / "pipe")
        self.file(".hidden")
        self.assertEqual(
            {held.name: held.kind for held in self.all()},
            dict.fromkeys(["directory", "link", "pipe", ".hidden"], FOREIGN),
        )

    def test_unfinished_files(self):
        part = PartFile(str(self.root), IMAGE, 0, False, False).thd_open()
        self.assertEqual(self.all(), [])
        name = part._temporary
        os.close(part._fd)
        part._fd = -1
        (held,) = self.all()
        self.assertEqual((held.name, held.kind), (name, LEFTOVER))
        part.thd_close()

    def test_unfinished_files_of_other_machines(self):
        mark = "00000000" if host_mark() != "00000000" else "11111111"
        path = self.file(f".{IMAGE}.{mark}-0123456789abcdef.part")
        self.assertEqual(self.all(), [])
        os.utime(path, (1, 1))
        self.assertEqual([held.kind for held in self.all()], [LEFTOVER])

    def test_what_is_no_text(self):
        names = [b"\xff\xfe", b"new\nline", b"back\\slash", b"back\\xff"]
        for name in names:
            (self.root / os.fsdecode(name)).touch()
        found = self.all(1)
        self.assertEqual(
            {path_of(h.key) for h in found}, {str(self.root / os.fsdecode(n)) for n in names}
        )
        for held in found:
            held.key.encode()
            self.assertTrue(held.key.isprintable())
            self.assertEqual(self.successResultOf(self.holdings.look(held.key)), held)

    def test_no_directory(self):
        holdings = holdings_of([str(self.root / "none")])
        self.failureResultOf(holdings.page("", 10), StoreError)

    def test_what_was_set_aside_is_not_listed(self):
        self.file()
        self.successResultOf(self.holdings.set_aside(self.one()))
        self.assertEqual(self.all(), [])

    def test_what_appears_behind_is_listed(self):
        self.file("b")
        self.file("d")
        self.holdings = holdings_of([str(self.root)], window=1)
        self.assertEqual([h.name for h in self.holdings.page("", 1).result], ["b"])
        self.file("a")
        self.file("c")
        after = str(self.root / "b")
        self.assertEqual([h.name for h in every(self.holdings, after=after)], ["c", "d"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.sets(st.text("abc\\\udcff\u202e", min_size=1, max_size=3), max_size=12), max_size=3
    ),
    st.integers(1, 5),
    st.integers(1, 5),
)
def test_everything_is_listed_once_in_order(names, window, limit):
    with TemporaryDirectory() as place:
        root = os.path.realpath(place)
        paths = []
        for number, several in enumerate(names):
            os.mkdir(f"{root}/{number}")
            for name in several:
                paths.append(f"{root}/{number}/{name}")
                Path(paths[-1]).touch()
        holdings = holdings_of([f"{root}/{n}" for n in range(len(names))], window=window)
        assert [path_of(held.key) for held in every(holdings, limit)] == sorted(paths)


@given(st.text(st.characters(codec=None) | st.sampled_from("\\xu{}\udc80\udcff"), max_size=20))
def test_keys_stand_for_paths(path):
    if any(0xD800 <= ord(c) < 0xDC80 or 0xDD00 <= ord(c) <= 0xDFFF for c in path):
        return
    assert path_of(key_of(path)) == path
    assert key_of(path).isprintable()


class KeyTests(HoldingsCase):
    def keys(self, *urls):
        return self.successResultOf(self.holdings.keys_of(urls))

    def test_urls(self):
        key = str(self.root / IMAGE)
        self.assertEqual(
            self.keys(f"file://{key}", f"filesystem:///{key}", "http://host/x", "rubbish", ""),
            [[key], [key], [], [], []],
        )

    def test_a_url_by_another_path(self):
        link = self.root.parent / f"{self.root.name}-link"
        link.symlink_to(self.root)
        self.addCleanup(link.unlink)
        self.assertEqual(self.keys(f"file://{link}/{IMAGE}"), [[str(self.root / IMAGE)]])

    def test_a_url_that_may_mean_two(self):
        self.assertEqual(
            self.keys(f"file://{self.root}/a%20b"),
            [[str(self.root / "a%20b"), str(self.root / "a b")]],
        )

    def test_elsewhere(self):
        self.assertEqual(self.keys(f"file:///elsewhere/{IMAGE}"), [[]])


class BarrenTests(HoldingsCase):
    def test_a_place_without_any_entry(self):
        url = f"file://{self.root}/name"
        place = str(self.root)
        self.assertTrue(self.successResultOf(self.holdings.is_barren(url)))
        os.mkdir(os.path.join(place, ASIDE))
        self.assertFalse(self.successResultOf(self.holdings.is_barren(url)))
        self.assertTrue(self.successResultOf(self.holdings.is_barren(f"file://{place}/no/name")))
        self.assertFalse(self.successResultOf(self.holdings.is_barren("http://host/name")))


class MovingTests(HoldingsCase):
    def test_there_and_back(self):
        path = self.file()
        held = self.one()
        place = Path(self.successResultOf(self.holdings.set_aside(held)))
        self.assertFalse(path.exists())
        self.assertEqual(place.read_bytes(), b"data")
        self.assertEqual(place.parent, self.root / ASIDE)
        self.assertTrue(place.name.startswith(f"{IMAGE}."))
        self.assertEqual(os.stat(place.parent).st_mode & 0o777, 0o700)
        self.assertTrue(self.successResultOf(self.holdings.put_back(held, str(place))))
        self.assertEqual((path.read_bytes(), place.exists()), (b"data", False))

    def test_another_file_has_the_name(self):
        path = self.file()
        held = self.one()
        path.unlink()
        self.file(data=b"new data")
        self.failureResultOf(self.holdings.set_aside(held), DataNotFound)
        self.assertEqual(path.read_bytes(), b"new data")

    def test_it_is_gone(self):
        path = self.file()
        held = self.one()
        path.unlink()
        self.failureResultOf(self.holdings.set_aside(held), DataNotFound)
        self.assertIsNone(self.one())

    def test_back_where_the_name_is_taken(self):
        self.file()
        held = self.one()
        place = self.successResultOf(self.holdings.set_aside(held))
        path = self.file(data=b"new data")
        self.assertFalse(self.successResultOf(self.holdings.put_back(held, place)))
        self.assertEqual((path.read_bytes(), Path(place).read_bytes()), (b"new data", b"data"))

    def test_without_hard_links(self):
        def refuse(*args, **kwargs):
            raise OSError(1, "no links")

        self.patch(os, "link", refuse)
        self.test_there_and_back()
        self.file()
        held = self.one()
        place = self.successResultOf(self.holdings.set_aside(held))
        self.file()
        self.assertFalse(self.successResultOf(self.holdings.put_back(held, place)))

    def test_not_allowed(self):
        def refuse(*args, **kwargs):
            raise PermissionError(13, "Permission denied")

        self.file()
        held = self.one()
        self.patch(os, "mkdir", refuse)
        self.failureResultOf(self.holdings.set_aside(held), DeleteForbidden)

    def test_leftovers(self):
        name = f".{IMAGE}.{host_mark()}-0123456789abcdef.part"
        path = self.file(name)
        (held,) = self.all()
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.assertFalse(self.successResultOf(self.holdings.drop_leftover(held)))
            self.assertTrue(path.exists())
        self.assertTrue(self.successResultOf(self.holdings.drop_leftover(held)))
        self.assertFalse(path.exists())

    def test_same_name_and_length_but_other_data(self):
        path = self.file(OTHER)
        before = self.one(OTHER)
        later = time.time() + 10
        os.utime(path, (later, later))
        self.assertNotEqual(self.one(OTHER).mark, before.mark)
