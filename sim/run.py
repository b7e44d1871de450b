"""One run: everything made from a seed, a time of faults, a time of healing, and the judgement."""

from __future__ import annotations

import gc
import random
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from math import inf
from typing import Any, NamedTuple

import structlog

from gateway.config.models import Park, Smsc
from gateway.redis.keys import PARK_SHARDS, park_key, tag_of
from gateway.redis.turns import BEGIN
from gateway.simulator.events import Event
from gateway.simulator.messages import Message
from gateway.simulator.session import VERSION_34, VERSION_50, Timers
from gateway.simulator.smsc import Rules
from sim import checks, plan
from sim.actors import GatewayActor, Phone, SmscActor
from sim.history import History
from sim.network import Connection, Network, Shape
from sim.server import Server
from sim.setting import REDIS_PORT, SERVICES, SMSC_PORT, configured, people, record_of, setting
from sim.world import World

#: Questions begin and faults happen within this time; then everything heals.
FAULTS_S = 30.0
#: A park entry's five tries take 81 s, after a hold of 10 s.
HEALING_S = 240.0


class Verdict(NamedTuple):
    """`wrong`: what the checks found, a line each."""

    seed: str
    wrong: list[str]
    tally: checks.Tally
    history: History
    faults: list[plan.Fault]


class Run:
    def __init__(self, seed: str, faults: Sequence[plan.Fault] | None = None) -> None:
        """`faults`: instead of those that the seed would give."""
        self.seed = seed
        self.world = World(seed)
        chance = self.world.chance
        self.faults = plan.of(seed, FAULTS_S) if faults is None else list(faults)
        carriers = list(dict.fromkeys(chance.sample(("plain", *SERVICES), 2)))
        self.network = Network(self.world, _shape(chance))
        self.history = History(self.world)
        self.server: Server = Server(self.network, REDIS_PORT)
        self.people = people(chance, carriers)
        for person in self.people:
            self.server.store.run([b"HSET", *record_of(person)])
        self.server.store.on_write = self._written
        self._by_partition = {b"%d" % person.who.partition: person.number for person in self.people}
        ttl_s = chance.choice((6.0, 3600.0, 3600.0))
        park = Park(after_s=chance.choice((0.3, 1.0, 1.0)), answer_ttl_s=ttl_s)
        links = _links(chance, carriers)
        self.config = configured(carriers, links, park=park)
        self.smscs: list[SmscActor] = [
            SmscActor(
                self.world, self.network, SMSC_PORT + i, _rules(chance, link), partial(self._observe, i)
            )
            for i, link in enumerate(links)
        ]
        self.gateways = [
            GatewayActor(self.world, self.network, self.config, f"gateway-{i}")
            for i in range(chance.choice((1, 2, 2, 3)))
        ]
        self.smsc_of = {person.number: i % len(self.smscs) for i, person in enumerate(self.people)}
        """By whose number: the SMSC that his texts are handed over by."""
        self.phones = {
            person.number: Phone(
                self.world, person, self.smscs[self.smsc_of[person.number]], self.history, chance
            )
            for person in self.people
        }
        for phone in self.phones.values():
            self.world.after(chance.uniform(0.5, FAULTS_S * 0.7), phone.begin)
        for fault in self.faults:
            self.world.at(fault.at_s, partial(self._do, fault))

    # for the plan

    def connection(self, which: int, of: str) -> Connection | None:
        """One of those to the store, or to SMSCs."""
        found = [each for each in self.network.open if (each.port == REDIS_PORT) == (of == "store")]
        return found[which % len(found)] if found else None

    def gateway(self, which: int) -> GatewayActor:
        return self.gateways[which % len(self.gateways)]

    def set_clock(self, gateway: GatewayActor, offset_s: float) -> None:
        gateway.set_clock(offset_s)
        self.history.clock_set(gateway.name, offset_s)

    def _do(self, fault: plan.Fault) -> None:
        self.history.trouble(str(fault), plan.lasts_s(fault))
        plan.FAULTS[fault.kind].do(self, fault.detail)

    # what happens

    def _observe(self, smsc: int, event: Event) -> None:
        history, body = self.history, event.body
        if event.kind == "pdu":
            return
        if event.kind == "mt_complete":
            assert isinstance(body, Message)
            phone = self.phones.get(body.number)
            if phone is None:
                self.world.faults.append(f"a text for {body.number}, who is nobody")
            else:
                phone.heard(body, smsc)
        elif isinstance(body, Message):
            if event.kind == "mo_attempted":
                history.attempts_s[id(body)].append(self.world.now_s)
            elif event.kind == "mo_acknowledged":
                history.acknowledged_s[id(body)] = self.world.now_s
                self.world.faults += checks.kept(self, body)
            elif event.kind == "mo_refused":
                history.refusals[id(body)] += 1
            if event.kind != "mo_sent":
                history.note(f"SMSC {body.id} {event.kind} {body.status or ''}")
        elif event.kind in ("link_up", "link_down"):
            history.note(f"SMSC {event.kind} {body.as_json()['id']} {body.as_json()['system_id']}")

    def _written(self, command: Sequence[bytes], reply: Any) -> None:
        key = command[1]
        if key == BEGIN and isinstance(reply, list) and reply[0] == 0:
            self.history.begun_s[command[5]] = self.world.now_s
        elif command[0] == b"SET" and key.startswith(b"m:{"):
            number = self._by_partition.get(key[3 : key.index(b"}")])
            if number is not None and command[2] == b"1":
                self._answered(key, number, float(command[4]) / 1000)
            elif number is not None:
                self._recorded(number)
        elif key.startswith(b"l:{"):
            self._leased(command)
        elif command[0] == b"XADD":
            self.history.note(f"store adds to {key.decode()}")
        elif command[0] == b"XDEL":
            self.history.note(f"store takes {command[2].decode()} from {key.decode()}")

    def _leased(self, command: Sequence[bytes]) -> None:
        """A subscriber's turn is one process's at a time, until it gives it back or its lease ends, by the
        clock of the store, which knows no fractions of a millisecond.
        """
        name, key, *words = command
        turns, now_ms = self.history.turns, self.server.store.now_ms()
        if name == b"DEL":
            turns.pop(key, None)
        elif name == b"PEXPIRE" and key in turns:
            turns[key] = turns[key][0], now_ms + int(words[0])
        elif name == b"SET":
            process = words[0].partition(b"-")[0]
            holder, until_ms = turns.get(key, (process, 0))
            if holder != process and now_ms < until_ms:
                self.world.faults.append(f"two processes had the turn of {key!r} at {self.world.now_s:.3f}")
            turns[key] = process, now_ms + int(words[2])

    def _recorded(self, number: str) -> None:
        """A message was marked that is not answered: it is parked, or dead, and recorded as such before, or
        whoever brings it again is told that it was seen to and nothing of it is anywhere.
        """
        if tag_of(self.phones[number].person.who).encode() not in self.parked(b"q") + self.parked(b"x"):
            self.world.faults.append(
                f"a message of {number} was marked at {self.world.now_s:.3f}, and is recorded nowhere"
            )

    def _answered(self, key: bytes, number: str, lasts_s: float) -> None:
        """A message was answered: once, unless the second turn had begun before that, or after the mark had
        ended (by the clock of the store, as above): a redelivery so late is another message by contract.
        """
        history, now_s = self.history, self.world.now_s
        before_s, until_s = history.mark_s.get(key, (inf, inf))
        if before_s < history.begun_s.get(key, 0.0) < until_s:
            self.world.faults.append(
                f"a message of {number} was marked at {before_s:.3f}, and then answered once more"
            )
        history.mark_s[key] = now_s, now_s + lasts_s - 0.001
        history.marked_s[number].append(now_s)
        history.note(f"store marks a message of {number}")

    # the run

    def go(self) -> Verdict:
        with _seeded(self.seed), _logs_to(self.history):
            self.world.run(FAULTS_S)
            self._heal()
            self.world.run(FAULTS_S + HEALING_S, self._over)
            wrong = self.world.faults + checks.judge(self)
            tally = checks.tally(self)
            for gateway in self.gateways:
                gateway.process.kill()
        return Verdict(self.seed, wrong, tally, self.history, self.faults)

    def _heal(self) -> None:
        self.history.note("--- everything heals")
        self.server.refuse("")
        self.server.start()
        for phone in self.phones.values():
            phone.stop()
        for actor in self.smscs:
            actor.smsc.order({"clear": {}})
        for gateway in self.gateways:
            gateway.process.dies_at_step = None
            self.set_clock(gateway, 0.0)

    def _over(self) -> bool:
        """Everybody has what is owed to him, and everything is quiet."""
        return (
            all(gateway.settled for gateway in self.gateways)
            and not any(actor.smsc.pending() for actor in self.smscs)
            and all(asked.message.state != "queued" for asked in self.history.questions)
            and not self.parked(b"q")
        )

    def parked(self, kind: bytes) -> list[bytes]:
        """The subscribers' tags of what is parked: `q` waiting, `x` dead."""
        return [entry[b"s"] for entry in self._entries(kind)]

    def dead(self) -> list[dict[bytes, bytes]]:
        """The dead letters, by their fields."""
        return list(self._entries(b"x"))

    def _entries(self, kind: bytes) -> Iterator[dict[bytes, bytes]]:
        for link in self.config.smsc:
            for shard in range(PARK_SHARDS):
                stream = self.server.store.value(park_key(kind, link.name, shard))
                for flat in stream.entries.values() if stream is not None else ():
                    yield dict(zip(flat[::2], flat[1::2], strict=True))


def _shape(chance: random.Random) -> Shape:
    most_s = chance.choice((0.001, 0.001, 0.01, 0.1))
    return Shape(most_s / 10, most_s, chance.choice((0, 0, 20, 100)))


def _links(chance: random.Random, carriers: Sequence[str]) -> tuple[Smsc, ...]:
    """One or two for each carrier."""
    links: list[Smsc] = []
    for carrier in carriers:
        for number in range(chance.choice((1, 1, 2))):
            link = setting().links[carrier]
            binding = chance.choice(("transceiver", "transceiver", "transmitter+receiver"))
            changes = {
                "name": f"{carrier}-{number}",
                "port": SMSC_PORT + len(links),
                "bind": binding,
                "binds": chance.choice((1, 1, 2)),
                "window": chance.choice((1, 2, 10, 100)),
                "long_messages": chance.choice(("udh-8", "udh-16", "sar", "payload")),
                "version": "3.4" if chance.random() < 0.8 else "5.0",
                "rate_per_s": chance.choice((0.0, 0.0, 0.0, 5.0)),
            }
            links.append(link.model_copy(update=changes))
    return tuple(links)


def _rules(chance: random.Random, link: Smsc) -> Rules:
    return Rules(
        retry_s=chance.choice((0.2, 1.0, 5.0)),
        window=chance.choice((1, 10, 50)),
        version=VERSION_50 if chance.random() < 0.3 else VERSION_34,
        rate_per_s=chance.choice((0.0, 0.0, 0.0, 3.0)),
        response_s=chance.choice((0.0, 0.0, 0.05, 0.4)),
        timers=Timers(
            session_init_s=5.0,
            enquire_link_s=5.0,
            enquire_timeout_s=2.0,
            response_timeout_s=chance.choice((2.0, 5.0)),
        ),
    )


@contextmanager
def _seeded(seed: str) -> Iterator[None]:
    """All chance of the gateway from the seed: tokens, references, nonces, jitter."""
    chance = random.Random(f"gateway {seed}")
    random.seed(f"jitter {seed}")
    kept = secrets.token_bytes, secrets.token_hex, secrets.randbelow
    secrets.token_bytes = lambda nbytes=None: chance.randbytes(nbytes or 32)
    secrets.token_hex = lambda nbytes=None: chance.randbytes(nbytes or 32).hex()
    secrets.randbelow = chance.randrange  # type: ignore[assignment]  # it takes more arguments, not fewer
    try:
        yield
    finally:
        secrets.token_bytes, secrets.token_hex, secrets.randbelow = kept


@contextmanager
def _logs_to(history: History) -> Iterator[None]:
    """The gateways' events into the history."""

    def write(_logger: Any, _method: str, event: Any) -> Any:
        words = " ".join(f"{name}={value}" for name, value in event.items() if name != "event")
        history.note(f"log {event['event']} {words}")
        raise structlog.DropEvent

    kept = structlog.get_config()
    structlog.configure(processors=[write], cache_logger_on_first_use=False)
    try:
        yield
    finally:
        structlog.configure(**kept)


def run(seed: str, faults: Sequence[plan.Fault] | None = None) -> Verdict:
    """Without the collector, whose finalizers would run at any moment; what is common to all runs it need
    never look at. Where it is off already, nothing is collected afterwards either.
    """
    prepare()
    if not gc.isenabled():
        return Run(seed, faults).go()
    gc.collect()
    gc.disable()
    try:
        return Run(seed, faults).go()
    finally:
        gc.enable()


@cache
def prepare() -> None:
    """What is common to all runs."""
    setting()
    gc.collect()
    gc.freeze()
