"""The parts of one gateway process, joined. Called by `gateway.app` once the reactor is installed."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import structlog

from gateway import status
from gateway.compiled import COMPILED
from gateway.config import Config, Listen, Smsc
from gateway.config.models import Timers
from gateway.dialog.carrier import Carrier
from gateway.flow.admission import Admission
from gateway.flow.deciding import Decider
from gateway.flow.deliveries import Deliveries
from gateway.flow.intake import Intake, Line
from gateway.flow.parkworker import ParkWorker
from gateway.flow.pipeline import Limits, Pipeline
from gateway.flow.ports import Clock
from gateway.links.listener import Listener, route_of
from gateway.links.receiving import Receiving
from gateway.links.routes import Routes
from gateway.links.smsc import SmscLink
from gateway.redis.calls import Calls
from gateway.redis.confirming import Copies
from gateway.redis.deliveries import RedisLedger
from gateway.redis.library import LIBRARY
from gateway.redis.park import RedisPark
from gateway.redis.parkroom import Room
from gateway.redis.turns import RedisParts, RedisTurns
from gateway.smpp.pdu import DeliverSm, SubmitSm
from gateway.smpp.throttle import share
from gateway.sms.alphabets import Alphabet, Codings
from gateway.sms.segments import Method, Style
from gateway.sweeping import Sweeping
from gateway.web.http import Http
from gateway.web.lag import LoopLag
from gateway.web.metrics import Metrics
from location_store.claims import claims
from location_store.places import Places
from location_store.pseudonyms import Pseudonyms

log = structlog.get_logger("cxmyd")

#: A process that dies with a turn under way blocks its subscriber so long beyond `park.after_s`.
LEASE_MARGIN_S = 2.0
#: Beyond the longest response timeout of any link: until then the first attempt may still end by itself.
HOLD_MARGIN_S = 5.0
#: Beyond the wait for copies: longer than any call to the store may take.
UNCONFIRMED_MARGIN_S = 5.0


@dataclass
class Parts:
    """What the process is made of; `status` is what operators see of it."""

    config: Config
    pseudonyms: Pseudonyms
    calls: Calls
    metrics: Metrics
    links: list[SmscLink]
    listeners: list[Listener]
    receiving: Receiving
    pipeline: Pipeline
    park: RedisPark
    park_worker: ParkWorker
    routes: Routes
    deliveries: Deliveries
    clock: Clock
    sweeping: Sweeping
    lag: LoopLag
    intake: Intake
    decider: Decider
    turns: RedisTurns
    workers: int
    worker_index: int
    http: Http = field(init=False)
    others: dict[int, dict[str, Any] | None] = field(default_factory=dict)
    queues: list[dict[str, Any]] = field(default_factory=list)  # of the park, as last looked at

    def reconfigure(self, config: Config) -> None:
        """Go on under other rules (`gateway.config.reloading`), in one step: nothing is awaited here."""
        lines = _lines(config)
        self.config = config
        rooms = _rooms(config, lines, self.calls, self.clock)
        self.park.reconfigure(config.park.answer_ttl_s, config.carriers, rooms)
        self.turns.reconfigure(config.dedup.window_s, _lease_s(config), config.park.after_s)
        self.intake.reconfigure(config.number_to_carrier)
        self.decider.reconfigure(tuple(config.number_to_carrier))
        self.pipeline.reconfigure(_limits(config))
        smscs = {smsc.name: smsc for smsc in config.smsc}
        for link in self.links:
            smsc = smscs[link.name]
            link.reconfigure(lines[link.name], _rate_per_s(smsc, self.worker_index, self.workers))
        for listener in self.listeners:
            listener.reconfigure(_lines_of(listener.listen, lines))

    async def check_layout(self) -> None:
        """Raises StoreRefused when the store was filled under another [store] layout or another key; an empty
        store takes ours.
        """
        for claim in claims(self.pseudonyms):
            await self.calls.call(claim.key, "SET", claim.key, claim.value, "NX")
            if claim.replaces(await self.calls.call(claim.key, "GET", claim.key)):
                await self.calls.call(claim.key, "SET", claim.key, claim.value)

    async def look_at_park(self) -> None:
        """Count what waits and what is dead on each route, for status and metrics."""
        queues = []
        for route in self.config.routes:
            waiting, dead = await self.park.depths(route)
            self.metrics.park.labels(route, "waiting").set(waiting)
            self.metrics.park.labels(route, "dead").set(dead)
            queues.append({"route": route, "waiting": waiting, "dead": dead})
        self.queues = queues

    async def look_at_deliveries(self) -> None:
        """What became of the answers of all processes, for status and metrics."""
        await self.deliveries.look()
        for row in self.deliveries.table:
            self.metrics.undecided.labels(row["link"]).set(row["waiting"])

    def status(self) -> dict[str, Any]:
        """/status: of this process, and from worker 0 of all."""
        now_s = self.clock.monotonic()
        wall_s = self.clock.wall()
        links = [status.of_link(link, wall_s) for link in self.links]
        ready = (
            self.calls.up
            and not self.receiving.draining
            and all(link.ready for link in self.links)
            and all(listener.listening for listener in self.listeners)
            and all(other is not None and other["ready"] for other in self.others.values())
        )
        self.metrics.store_up.set(self.calls.up)
        self.metrics.swept.set(self.sweeping.oldest_s or 0)
        for link in self.links:
            self.metrics.binds.labels(link.name).set(link.bound)
        others = [(index, other) for index, other in sorted(self.others.items()) if other is not None]
        for index, other in others:
            links += [link | {"name": f"{link['name']} (worker {index})"} for link in other["links"]]
        return {
            "ready": ready,
            "draining": self.receiving.draining,
            "compiled": COMPILED,
            "store_up": self.calls.up,
            "store_problem": self.calls.problem,
            "messages_in_flight": self.receiving.in_flight
            + sum(other["messages_in_flight"] for _, other in others),
            "messages_per_s": self.metrics.answers.per_s(now_s)
            + sum(other["messages_per_s"] for _, other in others),
            "links": links,
            "listeners": [status.of_listener(listener, wall_s) for listener in self.listeners],
            "parked": self.queues,
            "not_parked": status.summed(
                self.metrics.unparked(), *(other["not_parked"] for _, other in others)
            ),
            "deliveries": self.deliveries.table,
            "undelivered": self.deliveries.failures,
            "sweep": self.sweeping.status(),
            "ended": status.summed(self.metrics.endings(), *(other["ended"] for _, other in others)),
            "workers": [
                {"worker": index, "up": other is not None}
                | ({k: other[k] for k in ("ready", "messages_in_flight", "messages_per_s")} if other else {})
                for index, other in sorted(self.others.items())
            ],
        }


def assemble(
    config: Config,
    *,
    url: str,
    pseudonyms: Pseudonyms,
    places: Places,
    clock: Clock,
    reactor: Any,
    worker_index: int,
    workers: int,
    message_id: Callable[[], str],
) -> Parts:
    """Make every part and join them. Nothing is connected or listening yet but the store's connection."""
    listening = worker_index == 0
    metrics = Metrics()
    metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
    lag = LoopLag(asyncio.get_running_loop())
    metrics.loop_lag.set_function(lambda: lag.worst_s)
    metrics.timers.set_function(lambda: len(reactor.getDelayedCalls()))
    copies = _copies(config)
    calls = Calls(url, library=LIBRARY, copies=copies, on_state=_store_state)
    lines = _lines(config)
    park = RedisPark(
        calls,
        clock=clock,
        seal_keys=pseudonyms.subkeys("park"),
        answer_ttl_s=config.park.answer_ttl_s,
        carriers=config.carriers,
        rooms=_rooms(config, lines, calls, clock),
        unconfirmed_s=0.0 if copies is None else copies.wait_ms / 1000 + UNCONFIRMED_MARGIN_S,
        on_refused=metrics.could_not_park,
        on_lost=metrics.park_lost,
    )
    parts_of_messages = RedisParts(calls, pseudonyms.subkeys("parts"), metrics.long_message)
    worker: ParkWorker
    deliveries = Deliveries(
        ledger=RedisLedger(calls),
        clock=clock,
        recorder=metrics,
        accounts={smsc.name: (smsc.carrier, smsc.system_id) for smsc in config.smsc if smsc.receipts},
    )
    routes = Routes(
        metrics.submitted,
        lambda route: worker.wake(route),  # noqa: PLW0108 - made below
        deliveries.accepted,
    )
    _register(config, routes)
    admission = Admission()
    metrics.limit.set_function(lambda: admission.limit)
    turns = RedisTurns(
        calls,
        dedup_window_s=config.dedup.window_s,
        lease_s=_lease_s(config),
        after_s=config.park.after_s,
        monotonic=clock.monotonic,
    )
    decider = Decider(places, pseudonyms, tuple(config.number_to_carrier))
    pipeline = Pipeline(
        turns=turns,
        park=park,
        outbox=routes,
        decider=decider,
        pseudonyms=pseudonyms,
        clock=clock,
        recorder=metrics,
        limits=_limits(config),
        admission=admission,
    )
    worker = ParkWorker(
        park=park,
        pipeline=pipeline,
        outbox=routes,
        clock=clock,
        recorder=metrics,
        routes=[route for route in lines if listening or not route.startswith("listen:")],
        on_error=lambda error: metrics.failed("park_worker", error),
    )
    intake = Intake(
        parts=parts_of_messages,
        pseudonyms=pseudonyms,
        numbers=config.number_to_carrier,
        default_country=config.default_country,
    )
    receiving = Receiving(
        intake=intake,
        pipeline=pipeline,
        admission=admission,
        wall=clock.wall,
        on_refused=metrics.not_a_query,
        on_receipt=deliveries.receipt,
        on_park=worker.wake,
        message_id=message_id,
    )
    links = [
        SmscLink(
            smsc,
            i,
            lines[smsc.name],
            rate_per_s=_rate_per_s(smsc, worker_index, workers),
            reactor=reactor,
            routes=routes,
            receiving=receiving,
        )
        for i, smsc in enumerate(config.smsc)
        if listening or smsc.bind != "outbind"  # a port can be had once
    ]
    listeners = [
        Listener(
            listen,
            i,
            _lines_of(listen, lines),
            reactor=reactor,
            routes=routes,
            receiving=receiving,
        )
        for i, listen in enumerate(config.listen if listening else ())
    ]
    sweeping = Sweeping(calls, config.path, config.layout, starts=listening)
    parts = Parts(
        config,
        pseudonyms,
        calls,
        metrics,
        links,
        listeners,
        receiving,
        pipeline,
        park,
        worker,
        routes,
        deliveries,
        clock,
        sweeping,
        lag,
        intake,
        decider,
        turns,
        workers,
        worker_index,
    )
    metrics.links.look = lambda: status.healths(links, listeners)
    parts.http = Http(metrics.registry, parts.status)
    return parts


def _lines(config: Config) -> dict[str, Line]:
    """What is to be known of each route, by its name."""
    lines = {
        smsc.name: Line(smsc.name, config.carriers[smsc.carrier], _codings(smsc)) for smsc in config.smsc
    }
    for listen in config.listen:
        for client in listen.clients:
            route = route_of(client)
            lines[route] = Line(route, config.carriers[client.carrier], _codings(listen))
    return lines


def _copies(config: Config) -> Copies | None:
    """What a parked message has to wait for."""
    park = config.park
    if not park.wait_replicas and not park.wait_aof:
        return None
    return Copies(replicas=park.wait_replicas, aof=park.wait_aof, wait_ms=park.wait_ms)


def _rooms(config: Config, lines: dict[str, Line], calls: Calls, clock: Clock) -> dict[str, Room]:
    """By route, where there is a limit; all links of one carrier share one."""
    routes: dict[Carrier, list[str]] = {}
    for route, line in lines.items():
        routes.setdefault(line.carrier, []).append(route)
    rooms: dict[str, Room] = {}
    for carrier, theirs in routes.items():
        limit = config.park.limit if carrier.park_limit is None else carrier.park_limit
        if limit:
            room = Room(calls, clock, carrier=carrier.name, limit=limit, routes=theirs)
            rooms.update(dict.fromkeys(theirs, room))
    return rooms


def _lines_of(listen: Listen, lines: dict[str, Line]) -> dict[str, Line]:
    return {client.system_id: lines[route_of(client)] for client in listen.clients}


def _lease_s(config: Config) -> float:
    return config.park.after_s + LEASE_MARGIN_S


def _limits(config: Config) -> Limits:
    longest_s = max((peer.response_timeout_s for peer in (*config.smsc, *config.listen)), default=10.0)
    return Limits(
        after_s=config.park.after_s,
        hold_s=longest_s + HOLD_MARGIN_S,
        answer_ttl_s=config.park.answer_ttl_s,
    )


def _rate_per_s(smsc: Smsc, worker_index: int, workers: int) -> float:
    return share(smsc.rate_per_s, worker_index, 1 if smsc.bind == "outbind" else workers)


def _codings(peer: Timers) -> Codings:
    others = tuple((int(value), Alphabet(name)) for value, name in peer.data_codings.items())
    return Codings(Alphabet(peer.default_alphabet), others)


def _style(peer: Timers) -> Style:
    return Style(Alphabet(peer.default_alphabet), Method(peer.long_messages))


def _register(config: Config, routes: Routes) -> None:
    for smsc in config.smsc:
        others = [o.name for o in config.smsc if o.carrier == smsc.carrier and o.name != smsc.name]
        routes.register(smsc.name, SubmitSm, _style(smsc), others, receipts=smsc.receipts)
    for listen in config.listen:
        for client in listen.clients:
            routes.register(route_of(client), DeliverSm, _style(listen))


def _store_state(up: bool, why: str) -> None:
    if up:
        log.info("store.up")
    else:
        log.warning("store.down", why=why)
