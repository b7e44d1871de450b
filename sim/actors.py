"""Who acts in a run: gateway processes, SMSCs, and people with phones."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import count

from gateway.assembly import Parts, assemble
from gateway.config import Config
from gateway.dialog.replies import Kind, Reply, render
from gateway.simulator.events import Event
from gateway.simulator.messages import Message
from gateway.simulator.smsc import Rules, Smsc
from location_store.errors import StoreError
from sim.history import Answer, Asked, History
from sim.network import End, Network
from sim.reactor import Reactor, connect_by
from sim.setting import DIGITS, WRONG_DIGITS, Person, carrier_of, setting
from sim.world import Due, Process, World

CHECK_PAUSE_S = 0.25


class SimulatedClock:
    """The flow's `Clock` of one process, whose wall clock may be wrong."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def monotonic(self) -> float:
        return self._process.world.now_s

    def wall(self) -> float:
        return self._process.world.wall_s + self._process.wall_offset_s

    def call_later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return self._process.call_later(delay_s, call)

    async def sleep(self, delay_s: float) -> None:
        await asyncio.sleep(delay_s)


class GatewayActor:
    """A gateway that is started again after it has died, as by its supervisor."""

    def __init__(self, world: World, network: Network, config: Config, name: str) -> None:
        self._world, self._network, self._config = world, network, config
        self.name = name
        self.wall_offset_s = 0.0
        self.process: Process
        self.parts: Parts | None = None
        self.start()

    def start(self) -> None:
        process = self.process = Process(self._world, self.name)  # type: ignore[abstract]  # what is used is there
        process.wall_offset_s = self.wall_offset_s
        connect_by(process, self._network)
        process.on_death.append(lambda: self._network.died(process.post))
        self.parts = None
        process.post(lambda: process.create_task(self._main(process)))

    async def _main(self, process: Process) -> None:
        ids = count(1)
        shared = setting()
        parts = self.parts = assemble(
            self._config,
            url=self._config.redis.url,
            pseudonyms=shared.names,
            places=shared.places,
            clock=SimulatedClock(process),
            reactor=Reactor(process, self._network),
            worker_index=0,
            workers=1,
            message_id=lambda: f"{self.name}{next(ids):x}",
        )
        for link in parts.links:
            link.start()
        parts.park_worker.start()
        while True:
            try:
                await parts.check_layout()
                return
            except StoreError:
                await asyncio.sleep(CHECK_PAUSE_S)

    def kill(self, back_after_s: float, after_steps: int) -> None:
        """kill -9 at the step that comes then, and a new start later."""
        process = self.process

        def come_back() -> None:
            if not process.alive and self.process is process:
                self.start()

        process.on_death.append(lambda: self._world.after(back_after_s, come_back))
        process.dies_at_step = process.steps + after_steps

    def set_clock(self, offset_s: float) -> None:
        self.wall_offset_s = self.process.wall_offset_s = offset_s

    @property
    def settled(self) -> bool:
        """Bound, and nothing under way."""
        parts = self.parts
        return (
            parts is not None
            and self.process.alive
            and parts.calls.up
            and not parts.receiving.in_flight
            and all(link.ready for link in parts.links)
        )


class _Wire:
    """The SMSC's end of a connection."""

    def __init__(self, end: End) -> None:
        self._end = end

    def write(self, data: bytes) -> None:
        self._end.write(data)

    def close(self) -> None:
        self._end.close()

    def abort(self) -> None:
        self._end.abort()

    def pause_reading(self) -> None:
        self._end.pause()

    def resume_reading(self) -> None:
        self._end.resume()


class _SmscClock:
    def __init__(self, world: World) -> None:
        self._world = world

    def now_s(self) -> float:
        return self._world.wall_s

    def call_later(self, delay_s: float, call: Callable[[], object]) -> Due:
        return self._world.after(delay_s, call)


class SmscActor:
    """The simulated SMSC, as `cxmyd smsc` runs it, on the simulated network."""

    def __init__(
        self, world: World, network: Network, port: int, rules: Rules, observe: Callable[[Event], None]
    ) -> None:
        self._world, self._network, self._port = world, network, port
        self.smsc = Smsc(_SmscClock(world), rules, observe)
        self.start()

    def start(self) -> None:
        self._network.listen(self._port, self._accept)

    def restart(self, back_after_s: float) -> None:
        """Every connection ends; what it has stored is still there when it is back."""
        self._network.unlisten(self._port)
        for session in list(self.smsc.sessions.values()):
            session.abort()
        self._world.after(back_after_s, self.start)

    def _accept(self, end: End) -> None:
        wire = _Wire(end)
        session = self.smsc.accept(wire)
        end.on_data = session.data_received
        end.on_lost = lambda clean: session.connection_lost()
        end.on_full = wire.pause_reading
        end.on_drained = wire.resume_reading


class Phone:
    """A person who asks, answers what he is asked, and asks again after a while.

    `hasty`: he does not wait for his answers, and now and then sends the same text twice. `hurried`: nor
    between his texts, so that several are under way at once, in several processes.
    """

    PATIENCE_S = 90.0

    def __init__(
        self, world: World, person: Person, smsc: SmscActor, history: History, chance: random.Random
    ) -> None:
        self._world, self._smsc, self._history, self._chance = world, smsc, history, chance
        self.person = person
        self.hasty = person.carrier == "plain" and chance.random() < 0.6
        self.hurried = self.hasty and chance.random() < 0.5
        self.rounds = 2 + self.hurried if self.hasty else chance.randint(1, 3)
        self._waits: Due | None = None
        self._long = 0
        self._stopped = False
        self._english = False
        kinds: dict[str, str] = {}
        carrier = carrier_of(person.carrier)
        for kind in Kind:
            for english in (False, True):
                if kind not in (Kind.ANSWER, Kind.LOCKED, Kind.WRONG_DIGITS):
                    kinds[render(Reply(kind), carrier, english)] = kind
        self._kinds = kinds

    def stop(self) -> None:
        """He begins nothing new."""
        self._stopped = True

    def begin(self) -> None:
        """Ask, or give up what was begun and ask anew."""
        if self._waits is not None:
            self._waits.cancel()
            self._waits = None
        if self._stopped or not self.rounds:
            return
        self.rounds -= 1
        # Whose answers come in any order, if they are allowed to, has to tell them apart.
        self._english = not self._english if self.hasty else self._chance.random() < 0.3
        text = "CXMYD EN" if self._english else "CXMYD"
        if self.person.carrier in ("china-unicom", "china-telecom"):
            digits = WRONG_DIGITS if self._chance.random() < 0.1 else DIGITS
            text = f"CXMYD#{digits}{' EN' if self._english else ''}"
        if self._chance.random() < 0.15 or (self.hurried and not self.rounds):
            # Two parts in UCS2; the stop means nothing. Joined ones are told apart by their content.
            self._long += 1
            text = text.ljust(71 + self._long) + "。"
        self._say(text)
        if self.hasty:
            again = text
            if text.endswith("。"):
                self._long += 1
                again = text[:-1].ljust(71 + self._long) + "。"
            if self._chance.random() < 0.2:
                self._world.after(self._chance.uniform(0, 3), lambda: self._say(again))
            pause_s = self._chance.uniform(0.01, 0.4) if self.hurried else self._chance.uniform(0.2, 6)
            self._world.after(pause_s, self.begin)
        else:
            self._waits = self._world.after(self.PATIENCE_S, self.begin)

    def _say(self, text: str) -> None:
        message = self._smsc.smsc.send(self.person.number, self.person.service, text)
        self._history.asked(Asked(self.person, message, self._world.now_s, text))

    def heard(self, message: Message, smsc: int) -> None:
        """A text came for him, by this SMSC."""
        kind = self._kind(message.text)
        self._history.answered(Answer(self.person, message.text, kind, self._world.now_s, smsc))
        if self.hasty or self._waits is None:
            return
        if kind == Kind.ASK_DIGITS:
            self._reply(DIGITS if self._chance.random() < 0.9 else WRONG_DIGITS)
        elif kind == Kind.ASK_CONSENT:
            self._reply("Y")
        else:
            self._waits.cancel()
            self._waits = self._world.after(self._chance.uniform(1, 20), self.begin)

    def _reply(self, text: str) -> None:
        assert self._waits is not None
        self._waits.cancel()
        self._waits = None  # the prompt may come twice; he answers it once

        def say() -> None:
            self._waits = self._world.after(self.PATIENCE_S, self.begin)
            self._say(text)

        self._world.after(self._chance.uniform(0.5, 8), say)

    def _kind(self, text: str) -> str:
        known = self._kinds.get(text)
        if known is not None:
            return known
        person = self.person
        for names in (
            "、".join(city.name_zh for city in person.cities),
            ", ".join(city.name_en for city in person.cities),
        ):
            if names in text:
                return Kind.ANSWER
        if "后四位与证件号码不符" in text or "ID digits do not match" in text:
            return Kind.WRONG_DIGITS
        return f"? {text}"
