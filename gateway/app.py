"""The composition: one gateway process, from its configuration to SIGTERM. Everything is made and joined
here, nothing decided.

The event loop is uvloop under Twisted's asyncio reactor, so that Twisted's connections, our Redis
connections and aiohttp share it.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import structlog
import uvloop
from twisted.logger import STDLibLogObserver, globalLogBeginner

from gateway import engine, notify, workers
from gateway.config import Config, Rules, change, load
from gateway.draining import CLOSING_S, drain, within
from gateway.errors import ConfigError, GatewayError
from gateway.steadytime import SteadyTime
from location_store.errors import StoreError, StoreUnavailable
from location_store.keys import KeyFile
from location_store.places import Places
from location_store.pseudonyms import Pseudonyms

log = structlog.get_logger("cxmyd")

ALIVE_S = 1.0
#: For a store that is there. Without one we bind all the same: the SMSC sees it and keeps the messages.
STORE_PATIENCE_S = 2.0


def serve(config: Config, worker_count: int = 1) -> None:
    """Run until SIGTERM or SIGINT; returns after the drain. Raises GatewayError or StoreError when it
    cannot start.
    """
    _check_rates(config, worker_count)
    # Until there is a loop to take them: their default is to end the process.
    for number in (signal.SIGHUP, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    keys = KeyFile.load(config.keys.file)  # before anything is opened: the commonest mistake
    with engine.opened(config.redis.url, config.data.dir) as url:
        service = Service(config, url, keys, worker_count)
        if worker_count == 1:
            service.run(workers.Workers.alone())
        else:
            # All code once, whoever starts later has the same; the reactor itself is each worker's own.
            import gateway.assembly  # noqa: PLC0415 - see above
            import gateway.links.reactor  # noqa: F401, PLC0415 - see above
            from gateway.supervisor import supervise  # noqa: PLC0415 - see above

            supervise(worker_count, service)


def _check_rates(config: Config, worker_count: int) -> None:
    for smsc in config.smsc:
        if 0 < smsc.rate_per_s < worker_count and worker_count > 1:
            raise GatewayError(
                f"smsc {smsc.name!r}: rate_per_s = {smsc.rate_per_s:g} cannot be shared by {worker_count} "
                "workers; raise it, or serve with fewer --workers"
            )


class Service:
    """The configuration that holds now, and whoever runs under it."""

    def __init__(self, config: Config, url: str, keys: KeyFile, worker_count: int) -> None:
        self.config = config
        self._url = url
        self._keys = keys
        self._worker_count = worker_count
        self._before = config, keys
        self._time = SteadyTime()

    @property
    def drain_s(self) -> float:
        return self.config.drain.timeout_s + CLOSING_S

    def run(self, me: workers.Workers) -> None:
        _run(self, self._url, self._keys, self._time, me)

    def tick(self) -> None:
        self._time.now()  # the clock may be stepped; workers that start later go on with this one

    def reload(self) -> dict[str, Any]:
        """SIGHUP: the word for every process under this configuration, `Gateway.told`. The event says what
        changed, or why nothing did.
        """
        try:
            new = load(self.config.path)
            found = change(self.config, new)
            _check_rates(found.config, self._worker_count)
        except GatewayError as error:
            log.error("config.refused", problems=_problems(error))
            return {"reload": "refused"}
        self.config = found.config
        for warning in new.warnings:
            log.warning("config.warning", text=str(warning))
        log.info("config.reloaded", changed=found.changed, needs_restart=found.needs_restart)
        return {"reload": "done", "rules": Rules.of(self.config).to_json()}

    def renew(self) -> bool:
        """SIGUSR2: everything in the file, and the key file, for workers that start from now on; but for the
        store, which is one for all.
        """
        try:
            new = load(self.config.path)
            _check_rates(new, self._worker_count)
            keys = KeyFile.load(new.keys.file)
        except (GatewayError, StoreError) as error:
            log.error("workers.not_replaced", problems=_problems(error))
            return False
        self._before = self.config, self._keys
        kept = replace(new, redis=self.config.redis, store=self.config.store, data=self.config.data)
        self.config, self._keys = kept, keys
        log.info("config.renewed", needs_restart=change(kept, new).needs_restart)
        return True

    def restore(self) -> None:
        self.config, self._keys = self._before


def _problems(error: GatewayError | StoreError) -> list[dict[str, str]]:
    """All that is wrong, by key, value and mend."""
    if isinstance(error, ConfigError):
        return [problem.to_json() for problem in error.problems]
    return [{"mend": str(error)}]


def _run(service: Service, url: str, keys: KeyFile, wall: SteadyTime, me: workers.Workers) -> None:
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    from gateway.links.reactor import install  # noqa: PLC0415 - Twisted takes its time to load

    reactor = install(loop)
    # Twisted's own failures as JSON events too, by way of the standard library's logging.
    observer: Any = STDLibLogObserver()
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
    failures: list[BaseException] = []

    async def main() -> None:
        gateway = Gateway(service.config, url=url, keys=keys, reactor=reactor, me=me, wall=wall)
        stop = asyncio.Event()

        def on_fatal(error: BaseException) -> None:
            failures.append(error)
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if me.parent is None:
            _obey_signals(loop, service, gateway)
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


def _obey_signals(loop: asyncio.AbstractEventLoop, service: Service, gateway: "Gateway") -> None:
    """Of a process without a parent that would take them."""
    reloading = asyncio.Lock()

    async def reload() -> None:
        async with reloading:  # reading takes a while, and messages must not wait for it
            notify.tell(*notify.reloading())
            try:
                gateway.told(await asyncio.to_thread(service.reload))
            finally:
                notify.tell(notify.READY)

    tasks: set[asyncio.Task[None]] = set()

    def on_hangup() -> None:
        task = loop.create_task(reload())
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    loop.add_signal_handler(signal.SIGHUP, on_hangup)
    loop.add_signal_handler(
        signal.SIGUSR2, lambda: log.warning("workers.none", why="serve --workers 2 replaces them")
    )


class MonotonicClock:
    """The flow's `Clock` on the running loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, wall: SteadyTime | None = None) -> None:
        self._loop = loop
        self.monotonic = time.monotonic
        self.wall = (wall or SteadyTime()).now

    def call_later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._loop.call_later(delay_s, call)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class Gateway:
    """All parts of one process."""

    def __init__(
        self,
        config: Config,
        *,
        url: str,
        keys: KeyFile,
        reactor: Any,
        me: workers.Workers,
        wall: SteadyTime,
    ) -> None:
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
            clock=MonotonicClock(loop, wall),
            reactor=reactor,
            worker_index=me.index,
            workers=me.total,
            message_id=lambda: f"{me.index:x}{next(ids):x}",
        )
        self._wall = wall
        self._tasks: list[asyncio.Task[None]] = []
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
        self._tasks = [asyncio.create_task(self._publish(on_fatal)), asyncio.create_task(self._live())]
        if self.me.parent is not None:
            parent = self.me.parent
            asyncio.get_running_loop().add_reader(parent.fileno(), lambda: self._listen(parent))
        self.me.started()
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

    async def _live(self) -> None:
        """Each second: that the loop turns, whatever the store does; and a look at the clock, which may be
        stepped.
        """
        while True:
            self._wall.now()
            status = self.parts.status()
            self.me.alive(ready=status["ready"], text=_in_words(status))
            await asyncio.sleep(ALIVE_S)

    def _listen(self, parent: workers.Channel) -> None:
        for word in parent.receive():
            self.told(word)

    def told(self, word: Mapping[str, Any]) -> None:
        """The outcome of `Service.reload`; new rules hold from here on."""
        self.parts.metrics.reloads.labels(word["reload"]).inc()
        if word["reload"] == "done":
            self.config = Rules.of_json(word["rules"]).into(self.config)
            self.parts.reconfigure(self.config)

    async def stop(self) -> None:
        """Drain, and say what is left."""
        self.me.stopping()
        left = await drain(self.parts, self.config.drain.timeout_s)
        for task in self._tasks:
            task.cancel()
        await within(time.monotonic() + 1.0, self.parts.http.stop())
        self.me.publish(None)
        self.me.left(left.to_json())
        log.info("gateway.stopped", worker=self.me.index, **left.to_json())


def _in_words(status: Mapping[str, Any]) -> str:
    """For `systemctl status`."""
    words = ["ready" if status["ready"] else "draining" if status["draining"] else "not ready"]
    words += [f"{link['name']}: {link['bound']} bound" for link in status["links"]]
    words += [] if status["store_up"] else ["the store is away"]
    return ", ".join(words)
