"""The file store with real threads, real file systems, full disks and processes that die."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import textwrap

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

from glance.stores.errors import StoreTimeout
from glance.stores.threads import RealPool
from tests.unit.stores.contract import IMAGE, MIB, StoreContract, driven, get, put
from tests.unit.stores.doubles import file_store

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NOBODY = 65534
#: Begins every child's program: a store in the directory of the first argument, and ``ask``, which
#: waits for a Deferred and gives its result or the name of its error.
PRELUDE = """
import json, os, resource, sys, time
from tests.unit.stores.doubles import file_store
from tests.unit.stores.contract import IMAGE, OTHER, MIB

def ask(deferred):
    outcome = []
    deferred.addCallbacks(outcome.append, lambda f: outcome.append(type(f.value).__name__))
    return outcome[0]

def tell(*values):
    print(json.dumps(values), flush=True)

where = sys.argv[1]
store = file_store(filesystem_store_datadir=where)
"""


class FileStoreCase(TestCase):
    timeout = 60

    def setUp(self):
        self.root = self.directory()
        self.datadir = os.path.join(self.root, "images")

    def directory(self, below=None):
        place = tempfile.TemporaryDirectory(dir=below)
        self.addCleanup(place.cleanup)
        return place.name

    def drive(self, test):
        return Deferred.fromCoroutine(test)

    async def started(self, **given):
        size = given.setdefault("filesystem_store_thread_pool_size", 4)
        given.setdefault("filesystem_store_datadir", self.datadir)
        store = file_store(RealPool(reactor, "test", size), reactor, **given)
        self.addCleanup(store.stop)
        await store.start()
        return store


class ThreadedContract(StoreContract, FileStoreCase):
    foreign_url = "file:///etc/passwd"

    def make_store(self):
        return self.started()


class DeadlineContract(ThreadedContract):
    def make_store(self):
        return self.started(filesystem_store_timeout=60)


class MemoryFileSystemContract(ThreadedContract):
    """Where direct I/O is refused, or taken and ignored."""

    def make_store(self):
        if not os.path.ismount("/dev/shm"):
            raise SkipTest("no file system in memory at /dev/shm")
        return self.started(filesystem_store_datadir=self.directory("/dev/shm"))


class ThreadedTests(FileStoreCase):
    @driven
    async def test_many_writers_side_by_side(self):
        store = await self.started()
        blocks = [memoryview(os.urandom(MIB)) for _ in range(4)]
        urls = {}

        async def write(number):
            writer = await store.open_writer(f"image-{number}", None)
            order = [(n, blocks[(n + number) % 4]) for n in range(12)]
            digest = hashlib.sha256(b"".join(block for _, block in order)).digest()
            random.Random(number).shuffle(order)
            for start in range(0, 12, 3):
                await gatherResults(
                    [writer.write(n * MIB, block) for n, block in order[start : start + 3]]
                )
            if number % 3 == 0:
                await writer.abort()
            else:
                urls[(await writer.commit()).url] = digest

        await gatherResults([Deferred.fromCoroutine(write(n)) for n in range(6)])
        self.assertEqual(len(urls), 4)
        for url, digest in urls.items():
            self.assertEqual(hashlib.sha256(await get(store, url)).digest(), digest)
        self.assertEqual(len(os.listdir(self.datadir)), 4)
        self.assertEqual(await store.sweep(), 0)

    @driven
    async def test_one_of_many_with_the_same_name_wins(self):
        store = await self.started()
        writers = await gatherResults([store.open_writer(IMAGE, None) for _ in range(8)])
        for number, writer in enumerate(writers):
            await writer.write(0, memoryview(b"%d" % number))
        won = []

        async def finish(number, writer):
            try:
                await writer.commit()
            except Exception:
                await writer.abort()
            else:
                won.append(number)

        await gatherResults(
            [Deferred.fromCoroutine(finish(n, writer)) for n, writer in enumerate(writers)]
        )
        self.assertEqual(len(won), 1)
        self.assertEqual(await get(store, store.url_for(IMAGE)[0]), b"%d" % won[0])
        self.assertEqual(os.listdir(self.datadir), [IMAGE])

    @driven
    async def test_sendfile_from_the_reader(self):
        store = await self.started()
        data = os.urandom(3 * MIB)
        stored = await put(store, IMAGE, data)
        reader = await store.open_reader(stored.url)
        await reader.prefetch(100, 2 * MIB)
        with tempfile.TemporaryFile() as out:
            self.assertEqual(os.sendfile(out.fileno(), reader.fileno(), 100, 5000), 5000)
            self.assertEqual(os.pread(out.fileno(), 5000, 0), data[100:5100])
        reader.close()

    @driven
    async def test_prefetch_of_a_cold_file(self):
        store = await self.started()
        stored = await put(store, IMAGE, os.urandom(8 * MIB))
        reader = await store.open_reader(stored.url)
        os.posix_fadvise(reader.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        self.assertEqual(await reader.prefetch(0, 8 * MIB), 8 * MIB)
        reader.close()

    @driven
    async def test_a_hanging_thread_does_not_stop_the_store(self):
        store = await self.started(filesystem_store_thread_pool_size=1, filesystem_store_timeout=1)
        fifo = os.path.join(self.root, "fifo")
        os.mkfifo(fifo)

        def thd_hang():
            with open(fifo, "rb"):
                pass

        hanging = store._threads.run(thd_hang)
        waiting = store._threads.run(str, "after the line", timeout=0)
        await self.fails(hanging, StoreTimeout)
        self.assertEqual(await waiting, "after the line")
        # The only thread waits for somebody who opens the other end. A busy machine may make a call
        # miss its second all the same.
        for _ in range(30):
            try:
                stored = await put(store, IMAGE, b"data")
            except StoreTimeout:
                continue
            break
        self.assertEqual(stored.size, 4)
        os.close(os.open(fifo, os.O_WRONLY))

    fails = StoreContract.fails


class ChildCase(SynchronousTestCase):
    """Tests whose conditions only a process of its own can have."""

    def setUp(self):
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        os.chmod(place.name, 0o755)
        self.datadir = os.path.join(place.name, "images")

    def start(self, *parts, command=()):
        program = "".join(map(textwrap.dedent, (PRELUDE, *parts)))
        child = subprocess.Popen(
            [*command, sys.executable, "-c", program, self.datadir],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(child.stdin.close)
        self.addCleanup(child.stdout.close)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def said(self, child):
        line = child.stdout.readline()
        self.assertTrue(line, "the child ended without a word")
        return json.loads(line)

    def run_child(self, *parts, command=()):
        return self.said(self.start(*parts, command=command))


class DyingProcessTests(ChildCase):
    WRITING = """
        ask(store.start())
        writer = ask(store.open_writer(f"image-{os.getpid()}", None))
        ask(writer.write(0, memoryview(bytes(MIB))))
        tell("writing")
        sys.stdin.readline()
        tell(ask(writer.commit()).size)
    """

    def test_sweep_takes_what_the_dead_left_and_nothing_else(self):
        dead, live = self.start(self.WRITING), self.start(self.WRITING)
        for child in (dead, live):
            self.assertEqual(self.said(child), ["writing"])
        store = file_store(filesystem_store_datadir=self.datadir)
        self.successResultOf(store.start())
        self.assertEqual(self.successResultOf(store.sweep()), 0)
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        self.assertEqual(len(os.listdir(self.datadir)), 2)
        self.assertEqual(self.successResultOf(store.sweep()), 1)
        (left,) = os.listdir(self.datadir)
        self.assertTrue(left.startswith(f".image-{live.pid}."))
        live.stdin.write("\n")
        live.stdin.flush()
        self.assertEqual(self.said(live), [MIB])
        self.assertEqual(os.listdir(self.datadir), [f"image-{live.pid}"])

    def test_hanging_threads_do_not_keep_a_process_from_ending(self):
        child = self.start(
            """
            from twisted.internet import reactor
            from glance.stores.threads import Threads
            fifo = where + ".fifo"
            os.mkfifo(fifo)
            threads = Threads(reactor, "hanging", 2, timeout=1)
            threads.start()

            def end(failure):
                tell(type(failure.value).__name__)
                threads.stop().addCallback(lambda _: reactor.stop())

            threads.run(lambda: open(fifo)).addErrback(end)
            reactor.run()
            """
        )
        self.assertEqual(self.said(child), ["StoreTimeout"])
        self.assertEqual(child.wait(60), 0)


class FullDiskTests(ChildCase):
    FILLING = """
        writer = ask(store.open_writer(IMAGE, None))
        block = memoryview(os.urandom(MIB))
        outcomes = [ask(writer.write(n * MIB, block)) for n in range(9)]
        failed = ask(writer.commit())
        ask(writer.abort())
        tell([o for o in outcomes if o], failed, os.listdir(where))
    """

    def test_file_size_limit(self):
        outcomes, commit, left = self.run_child(
            """
            resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MIB, 8 * MIB))
            ask(store.start())
            """,
            self.FILLING,
        )
        self.assertEqual((outcomes, commit, left), (["StoreFull"], "StoreError", []))

    def test_full_file_system(self):
        # A name space of mounts of the child's own: whatever happens, nothing stays mounted.
        may = subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False)
        if may.returncode:
            raise SkipTest("only root can mount a small file system to fill")
        os.mkdir(self.datadir)
        size, taken, left, fits = self.run_child(
            """
            import subprocess
            mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "none", where]
            subprocess.run(mount, check=True)
            ask(store.start())
            too_long = ask(store.open_writer(OTHER, 9 * MIB))
            """,
            self.FILLING.replace("tell(", "result = ("),
            """
            writer = ask(store.open_writer(OTHER, 4 * MIB))
            ask(writer.write(0, block))
            tell(too_long, result[0][:1], result[2], ask(writer.commit()).size)
            """,
            command=("unshare", "-m"),
        )
        self.assertEqual((size, taken, left, fits), ("StoreFull", ["StoreFull"], [], MIB))


class PermissionTests(ChildCase):
    """As a user without privileges, which a test run as root has to become."""

    DROP = f"""
        if not os.getuid():
            os.setgid({NOBODY})
            os.setuid({NOBODY})
    """

    def make_directory(self, mode):
        os.mkdir(self.datadir)
        if not os.getuid():
            os.chown(self.datadir, NOBODY, NOBODY)
        os.chmod(self.datadir, mode)

    def test_directory_that_cannot_be_written(self):
        self.make_directory(0o555)
        result = self.run_child(
            self.DROP,
            """
        fault = []
        store.start().addErrback(lambda f: fault.append(f.getErrorMessage()))
        tell(fault[0], store.writable, ask(store.open_writer(IMAGE, None)))
            """,
        )
        self.assertIn("[glance_store] filesystem_store_datadir", result[0])
        self.assertEqual(result[1:], [False, "WriteDisabled"])

    def test_directory_that_cannot_be_created(self):
        if os.getuid():
            raise SkipTest("the directory above belongs to the user who runs the test")
        result = self.run_child(self.DROP, "tell(ask(store.start()))")
        self.assertEqual(result, ["BadStoreConfiguration"])

    def test_permission_lost_while_running(self):
        self.make_directory(0o755)
        result = self.run_child(
            self.DROP,
            """
        ask(store.start())
        writer = ask(store.open_writer(IMAGE, None))
        stored = ask(writer.commit())
        slow = ask(store.open_writer(OTHER, None))
        os.chmod(where, 0o555)
        told = ask(store.open_writer("x", None)), ask(slow.commit()), ask(store.delete(stored.url))
        os.chmod(where, 0o755)
        ask(slow.abort())
        tell(*told, os.listdir(where) == [IMAGE])
            """,
        )
        self.assertEqual(result, ["WriteDenied", "WriteDenied", "DeleteForbidden", True])

    def test_file_that_cannot_be_read(self):
        self.make_directory(0o755)
        result = self.run_child(
            self.DROP,
            """
        ask(store.start())
        stored = ask(ask(store.open_writer(IMAGE, None)).commit())
        os.chmod(os.path.join(where, IMAGE), 0)
        tell(ask(store.open_reader(stored.url)), ask(store.delete(stored.url)))
            """,
        )
        self.assertEqual(result, ["StoreError", None])
