"""The part of ``glance-cache-manage`` that talks to the service."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogBeginner
from twisted.python.failure import Failure
from zope.interface import provider

from glance.cmd import cache_manage_output as output
from glance.cmd.cache_manage_access import read_access
from glance.cmd.cache_manage_commands import Command
from glance.domain.errors import GlanceError
from glance.remote.cache import RemoteCache
from glance.remote.errors import Answered, NotAllowed, NotEnabled, RemoteError, Untrusted
from glance.remote.service import Trust, connect
from glance.remote.waiting import wait_until_cached
from glance.services.logmask import clean, mask, one_line
from glance.services.signals import catch_end, stop_once
from glance.verify.progress import Progress

FAILED = 1


def carry_out(
    command: Command,
    images: list[str],
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
) -> int:
    """Do what a command says.

    :returns: the exit code.
    :raises KeyboardInterrupt: a signal came in between.
    """
    if arguments.debug:
        globalLogBeginner.beginLoggingTo([_show], redirectStandardIO=False)
    try:
        access = read_access(arguments, environ)
        from twisted.internet import reactor

        trust = Trust(("--os-cacert", access.authorities), access.insecure)
        service = connect(
            reactor, access.endpoint, access.credentials, trust=trust, seconds=access.seconds
        )
        work = Work(command, RemoteCache(service), reactor, arguments)
        return run_until_done(reactor, lambda: work.do(images))
    except GlanceError as error:
        if arguments.debug:
            print(mask(traceback.format_exc()), file=sys.stderr)
        for line in explain(command, error, arguments.host):
            print(line, file=sys.stderr)
        return FAILED


def run_until_done(reactor: Any, work: Callable[[], Any]) -> int:
    """Run the reactor until a coroutine ends or a signal comes; return the coroutine's result.

    :raises KeyboardInterrupt: a signal came.
    """
    outcome: list[Any] = []

    def start() -> None:
        doing = Deferred.fromCoroutine(work())
        reactor.addSystemEventTrigger("before", "shutdown", doing.cancel)
        doing.addBoth(ended)

    def ended(result: Any) -> None:
        outcome.append(result)
        stop_once(reactor)

    catch_end(reactor)
    reactor.callWhenRunning(start)
    reactor.run()
    result = outcome[0] if outcome else None
    if isinstance(result, int):
        return result
    if isinstance(result, Failure) and not result.check(CancelledError):
        result.raiseException()
    raise KeyboardInterrupt


class Work:
    """One run of a command.

    :param cache: what is asked.
    """

    def __init__(
        self, command: Command, cache: RemoteCache, reactor: Any, arguments: argparse.Namespace
    ) -> None:
        self._command = command
        self._cache = cache
        self._reactor = reactor
        self._arguments = arguments
        self._failed = False

    async def do(self, images: list[str]) -> int:
        """Do it; return the exit code.

        :raises RemoteError: that was not possible.
        """
        cache, as_json = self._cache, self._arguments.json
        match self._command.name:
            case "list-cached":
                cached = await cache.cached()
                print(output.cached_json(cached) if as_json else output.cached_text(cached))
            case "list-queued":
                queued = await cache.queued()
                print(output.queued_json(queued) if as_json else output.queued_text(queued))
            case "delete-all-cached-images":
                self._tell_done(count=await cache.delete_all_cached())
            case "delete-all-queued-images":
                self._tell_done(count=await cache.delete_all_queued())
            case "delete-cached-image":
                await self._each(images, "Deleted", cache.delete_cached)
            case "delete-queued-image":
                await self._each(images, "Deleted", cache.delete_queued)
            case "queue-image":
                queued = await self._each(images, "Queued", cache.queue)
                if self._arguments.wait:
                    await self._wait(queued)
        return FAILED if self._failed else 0

    async def _each(
        self, images: list[str], words: str, act: Callable[[str], Awaitable[None]]
    ) -> list[str]:
        """Do the same with several images; return those with which it worked."""
        if len(images) == 1:
            await act(images[0])
            self._tell_done(id=images[0])
            return images
        worked: list[str] = []
        # Nothing is said where nobody looks, unless something fails.
        progress = _Progress(self._reactor, sys.stderr if sys.stderr.isatty() else None)
        progress.start()
        progress.stage(words, len(images))
        try:
            for image_id in images:
                try:
                    await act(image_id)
                except RemoteError as error:
                    progress.wipe()
                    self._failed = True
                    if not _concerns_one(error):
                        done = f"{len(worked)} of {len(images)} images"
                        _complain(f"Stopped at image {image_id}; it was done with {done}.")
                        raise
                    _complain(f"Image {image_id}: {one_line(error.message)}")
                else:
                    progress.wipe()
                    self._tell_done(id=image_id)
                    worked.append(image_id)
                progress.step()
        finally:
            progress.stop()
        return worked

    async def _wait(self, images: list[str]) -> None:
        progress = _Progress(self._reactor, sys.stderr)

        def told(image_id: str, problem: str | None) -> None:
            progress.step()
            if problem is not None:
                self._failed = True
            progress.say(f"Image {image_id}: {problem or 'cached'}")

        progress.start()
        progress.stage("Cached", len(images))
        try:
            await wait_until_cached(
                self._cache, self._reactor, images, told, self._arguments.wait_time
            )
        except CancelledError:
            progress.say("Interrupted; what is queued stays queued.")
            raise
        finally:
            progress.stop()

    def _tell_done(self, **values: object) -> None:
        if self._arguments.verbose:
            print(self._command.done.format(**values), flush=True)


class _Progress(Progress):
    """Also tells how long it has taken: an image may be long on its way."""

    def line(self) -> str:
        """Return what there is to tell."""
        return f"{super().line()}, {self._reactor.seconds() - self._since:.0f} s"


def _concerns_one(error: RemoteError) -> bool:
    """Tell whether it may go well with the next image."""
    return isinstance(error, Answered) and error.status not in (401, 403) and error.status < 500


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def explain(command: Command, error: GlanceError, host: str) -> list[str]:
    """Return the lines that tell what went wrong."""
    if isinstance(error, NotEnabled):
        return [
            f"Cache management middleware not enabled on host {host}",
            "Set image_cache_dir in the configuration of glance-api there; releases before 24 "
            "also want a flavor with cachemanagement in [paste_deploy].",
        ]
    lines = [f"Failed to {command.failing}. Got error:", one_line(error.message)]
    if isinstance(error, NotAllowed):
        lines = ["Not authorized to make this request."]
        if error.said:
            lines.append(one_line(error.said))
    elif isinstance(error, Untrusted) and "does not speak TLS" not in error.message:
        lines.append(
            "If its certificate is good, name that of its authority by --os-cacert. Only where it "
            "does not matter who listens: --insecure."
        )
    return lines


@provider(ILogObserver)
def _show(event: LogEvent) -> None:
    """Show what our own modules log."""
    if str(event.get("log_namespace", "")).startswith("glance."):
        print(clean(formatEvent(event)), file=sys.stderr)
