"""The composition: one gateway process, from its configuration to SIGTERM. Everything is made and joined
here, nothing decided.

The event loop is uvloop under Twisted's asyncio reactor, so that Twisted's connections, our Redis
connections and aiohttp share it.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Any

import structlog
import uvloop
from twisted.logger import STDLibLogObserver, globalLogBeginner

from gateway import engine, workers
from gateway.config import Config
from gateway.errors import GatewayError
from location_store.errors import StoreError, StoreUnavailable
from location_store.keys import KeyFile
from location_store.places import Places
from location_store.pseudonyms import Pseudonyms

log = structlog.get_logger("cxmyd")

#: For a store that is there. Without one we bind all the same: the SMSC sees it and keeps the messages.
STORE_PATIENCE_S = 2.0


def serve(config: Config, worker_count: int = 1) -> None:
    """Run until SIGTERM or SIGINT; returns after the drain. Raises GatewayError or StoreError when it
    cannot start.
    """
    for smsc in config.smsc:
        if 0 < smsc.rate_per_s < worker_count and worker_count > 1:
            raise GatewayError(
                f"smsc {smsc.name!r}: rate_per_s = {smsc.rate_per_s:g} cannot be shared by {worker_count} "
                "workers; raise it, or serve with fewer --workers"
            )
    keys = KeyFile.load(config.keys.file)  # before anything is opened: the commonest mistake
    with engine.opened(config.redis.url, config.data.dir) as url:
        if worker_count == 1:
            _run(config, url, keys, workers.Workers.alone())
        else:
            workers.supervise(worker_count, lambda me: _run(config, url, keys, me))


def _run(config: Config, url: str, keys: KeyFile, me: workers.Workers) -> None:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    from gateway.links.reactor import install  # noqa: PLC0415 - Twisted takes its time to load

    reactor = install(loop)
    # Twisted's own failures as JSON events too, by way of the standard library's logging.
    observer: Any = STDLibLogObserver()
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    failures: list[BaseException] = []

    async def main() -> None:
        gateway = Gateway(config, url, keys, reactor, me)
        stop = asyncio.Event()

        def on_fatal(error: BaseException) -> None:
            failures.append(error)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        try:
            await gateway.start(on_fatal)
            await stop.wait()
        except (GatewayError, StoreError) as error:
            failures.append(error)
        await gateway.stop()

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            failures.append(task.exception() or RuntimeError())
        reactor.stop()

    reactor.callWhenRunning(lambda: loop.create_task(main()).add_done_callback(ended))
    reactor.run(installSignalHandlers=False)
    if failures:
        raise failures[0]


class MonotonicClock:
    """The flow's `Clock` on the running loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.monotonic = time.monotonic
        self.wall = time.time

    def call_later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, call)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class Gateway:
    """All parts of one process."""

    def __init__(self, config: Config, url: str, keys: KeyFile, reactor: Any, me: workers.Workers) -> None:
        # Imported with the reactor in place, and not at all by commands that only look at this module.
        from gateway.assembly import assemble  # noqa: PLC0415 - see above

        self.config = config
        self.me = me
        loop = asyncio.get_running_loop()
        ids = count(int(time.time() * 1000) << 8)
        self.parts = assemble(
            config,
            url=url,
            pseudonyms=Pseudonyms(keys, config.layout),
            places=Places.load(),
            clock=MonotonicClock(loop),
            reactor=reactor,
            worker_index=me.index,
            workers=me.total,
            message_id=lambda: f"{me.index:x}{next(ids):x}",
        )
        self._publishing: asyncio.Task[None] | None = None
        self._ready_logged = False

    async def start(self, on_fatal: Callable[[BaseException], object]) -> None:
        parts, config = self.parts, self.config
        parts.others = self.me.others()  # none has reported: we are not ready without them
        await parts.http.start(config.http.host, config.http.port + self.me.index)
        # Texts come right behind a bind, and would be refused for the time being: the store first.
        await parts.calls.wait_up(STORE_PATIENCE_S)
        for listener in parts.listeners:
            listener.start()
        for link in parts.links:
            link.start()
        parts.park_worker.start()
        # What stands now stands for good; the collector need not walk over it every time, nor start as often.
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 50)
        parts.lag.start()
        self._publishing = asyncio.create_task(self._publish(on_fatal))
        log.info("gateway.started", worker=self.me.index, workers=self.me.total, redis=config.redis.shown_url)

    async def _publish(self, on_fatal: Callable[[BaseException], object]) -> None:
        """Each second: our status where worker 0 finds it; once the store is up, that it is laid out as we
        think.
        """
        checked = False
        while True:
            if not checked and self.parts.calls.up:
                try:
                    await self.parts.check_layout()
                    checked = True
                except StoreUnavailable:
                    pass  # it refuses writes for now; its own events tell
                except StoreError as error:
                    if self.parts.calls.up:
                        on_fatal(error)
            if self.me.index == 0 and self.parts.calls.up:
                with suppress(StoreError):  # then the figures are those of the last look
                    await self.parts.look_at_park()
                    await self.parts.look_at_deliveries()
                    await self.parts.sweeping.look()
            status = self.parts.status()
            if status["ready"] and not self._ready_logged:
                self._ready_logged = True
                log.info("gateway.ready", worker=self.me.index)
            self.me.publish(status)
            self.parts.others = self.me.others()
            await asyncio.sleep(0.25 if not self._ready_logged else 1.0)

    async def stop(self) -> None:
        """Drain: no new work, what is in flight ends or is parked, then unbind, then close."""
        parts, budget_s = self.parts, self.config.drain.timeout_s
        deadline_s = time.monotonic() + budget_s
        parts.receiving.draining = True
        while parts.receiving.in_flight and time.monotonic() < deadline_s:
            await asyncio.sleep(0.02)
        left = parts.receiving.in_flight
        parts.sweeping.stop()
        await _within(deadline_s, parts.park_worker.stop())
        await _within(deadline_s + 2, *(x.stop() for x in parts.links), *(x.stop() for x in parts.listeners))
        await _within(deadline_s + 2, parts.deliveries.stop())
        if self._publishing is not None:
            self._publishing.cancel()
        await parts.http.stop()
        await parts.calls.close()
        self.me.publish(None)
        log.info("gateway.stopped", worker=self.me.index, unanswered=left)


async def _within(deadline_s: float, *work: Any) -> None:
    tasks = [asyncio.ensure_future(w) for w in work]
    if tasks:
        await asyncio.wait(tasks, timeout=max(0.1, deadline_s - time.monotonic()))
