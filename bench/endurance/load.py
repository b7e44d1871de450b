"""Mixed load with random faults: phones that ask by two simulated SMSCs, clients of the listener that come
and go, and every fault the simulator knows, for as long as is wished.

Called by `run`.
"""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import aiohttp

from bench.endurance import gateway
from bench.endurance.client import Client, keep_visiting
from bench.endurance.gateway import CARRIERS, Gateway, Sample, until
from bench.endurance.judging import Question, Questions, Watch
from bench.store import results
from bench.store.engines import engine
from gateway.simulator.server import Simulator
from gateway.simulator.session import VERSION_50, Timers
from gateway.simulator.smsc import Rules

SUBSCRIBERS: Final = 3_000
"""Of each carrier: nobody asks again before the gateway's windows for redeliveries and help are over."""
CONVERSATIONS_PER_S: Final = 8.0
FAULT_EVERY_S: Final = 3.0
PATIENCE_S: Final = 90.0
SETTLE_S: Final = 180.0
SAMPLE_EVERY_S: Final = 5.0
LASTING_S: Final = 3.0
PREFIX: Final = "86199"
"""Of phones that order a fault by their address; their answers are not judged."""
DAMAGED_EVERY_S: Final = 5.0

LONG: Final = "ＣＸＭＹＤ＃１２３４" + "\u3000" * 65  # two parts in UCS2, and a query all the same
SCRIPTS: Final = {
    "china-mobile": (("CXMYD", "1234"), ("CXMYD EN", "1234"), ("hello",)),
    "china-unicom": (("CXMYD#1234",), (LONG,), ("CXMYD",), ("?" * 200,)),
    "china-telecom": (("CXMYD#1234", "Y"), ("CXMYD#1234", "N")),
}
SECTIONS: Final = """
[[smsc]]
name = "mobile"
port = {one}
system_id = "mobile"
carrier = "china-mobile"
{common}
[[smsc]]
name = "unicom"
port = {one}
system_id = "unicom"
carrier = "china-unicom"
binds = 2
{common}
[[smsc]]
name = "telecom"
port = {two}
system_id = "telecom"
carrier = "china-telecom"
bind = "transmitter+receiver"
version = "5.0"
rate_per_s = 30
{common}
[[listen]]
port = {listen}
clients = [
  {{ system_id = "app1", password = "secret1", carrier = "china-unicom" }},
  {{ system_id = "app2", password = "secret2", carrier = "china-unicom" }},
]
enquire_link_s = 5
enquire_timeout_s = 3
response_timeout_s = 5
"""
ROUTES: Final = {"10086": "mobile", "10010": "unicom", "10001": "telecom"}
COMMON: Final = """password = "secret"
reconnect_max_s = 3
enquire_link_s = 5
enquire_timeout_s = 3
response_timeout_s = 5
session_init_s = 5"""


class Chance(NamedTuple):
    """One fault of the mix. What lasts until it is withdrawn is withdrawn after `LASTING_S`."""

    name: str
    settings: Mapping[str, Any]
    lasts: bool = False


MIX: Final = (
    *(Chance(name, {}) for name in ("drop", "unbind", "cut", "unknown_command", "garbage")),
    *(Chance("lying_length", {"form": form}) for form in ("huge", "short", "zero", "one_more")),
    Chance("enquire_storm", {"count": 200}),
    Chance("stall_reading", {"seconds": 4}),
    Chance("mute", {"seconds": 12}),
    Chance("stall_responses", {"seconds": 3}),
    Chance("stall_responses", {"seconds": 7}),
    Chance("fragment", {"bytes": 5}, lasts=True),
    Chance("fragment", {"bytes": 1, "delay_s": 0}, lasts=True),
    Chance("congestion", {"percent": 90}, lasts=True),
    Chance("refuse_bind", {"count": 2}),
    Chance("refuse_bind", {"count": 1, "status": "ESME_RALYBND"}),
    Chance("ignore_bind", {}),
    Chance("late_bind", {"seconds": 2}),
    *(
        Chance("refuse_submit", {"count": 5, "status": f"ESME_{status}"})
        for status in ("RTHROTTLED", "RMSGQFUL", "RSYSERR")
    ),
    Chance("ignore_submit", {"count": 2}),
    Chance("lose_submit_resp", {}),
    Chance("late_response", {"count": 5, "seconds": 2}),
    Chance("late_response", {"count": 2, "seconds": 8}),
    Chance("repeat_response", {"count": 5}),
    Chance("wrong_sequence", {}),
    Chance("stray_response", {"count": 5}),
    *(Chance("odd_message_id", {"form": form}) for form in ("upper", "decimal", "long", "empty")),
    *(Chance(name, {"count": 5}) for name in ("no_receipt", "early_receipt", "repeat_receipt")),
    Chance("late_receipt", {"count": 5, "seconds": 8}),
    *(
        Chance("odd_receipt", {"count": 3, "form": form})
        for form in ("no_counts", "decimal_id", "lower", "text_only", "tlvs_only", "prose")
    ),
    *(Chance("receipt_state", {"form": form}) for form in ("UNDELIV", "EXPIRED", "UNKNOWN", "ENROUTE")),
    Chance("duplicate_deliver", {"count": 3}),
    *(Chance("damage_deliver", {"form": form}) for form in ("unknown_tlv", "padding")),
    Chance("cut_deliver", {}),
    Chance("unbind_after_deliver", {}),
)


class Load:
    """All that bears upon one gateway, from two SMSCs and two clients."""

    def __init__(self, smscs: Mapping[str, Simulator], clients: list[Client], seed: int) -> None:
        self.questions = Questions()
        self.watches = {simulator: Watch(self.questions) for simulator in smscs.values()}
        self.faults: Counter[str] = Counter()
        self._smscs, self.clients = smscs, clients
        self._random = random.Random(seed)
        self._free = {carrier: gateway.numbers(carrier, SUBSCRIBERS) for carrier in CARRIERS}
        self._talks: set[asyncio.Task[None]] = set()
        for numbers in self._free.values():
            self._random.shuffle(numbers)

    def take(self, carrier: str, count: int) -> list[str]:
        """Those who have not asked for longest; they go to the end of the queue."""
        numbers = self._free[carrier]
        taken, self._free[carrier] = numbers[:count], numbers[count:] + numbers[:count]
        return taken

    async def talk(self) -> None:
        """Begin conversations, at random times."""
        while True:
            await asyncio.sleep(self._random.expovariate(CONVERSATIONS_PER_S))
            carrier = self._random.choice(list(CARRIERS))
            script = self._random.choice(SCRIPTS[carrier])
            (number,) = self.take(carrier, 1)
            task = asyncio.create_task(self._converse(number, carrier, script))
            self._talks.add(task)
            task.add_done_callback(self._talks.discard)

    async def _converse(self, number: str, carrier: str, script: tuple[str, ...]) -> None:
        for text in script:
            message = self._smscs[carrier].smsc.send(number, CARRIERS[carrier], text)
            question = self.questions.asked(number, message)
            if not await _answered(question):
                return

    async def damage(self) -> None:
        """Texts whose deliver_sm is broken, from phones that nobody judges."""
        while True:
            await asyncio.sleep(self._random.expovariate(1 / DAMAGED_EVERY_S))
            number = f"{PREFIX}{self._random.randrange(100):02}240{self._random.choice('12')}"
            self._smscs["china-mobile"].smsc.send(number, CARRIERS["china-mobile"], "CXMYD")

    async def trouble(self) -> None:
        """Order faults, at random times."""
        while True:
            await asyncio.sleep(self._random.expovariate(1 / FAULT_EVERY_S))
            chance = self._random.choice(MIX)
            simulator = self._random.choice(sorted(self._smscs.items()))[1]
            smsc = simulator.smsc
            self.faults[chance.name] += 1
            if chance.name == "stall_reading":
                self.watches[simulator].stalled(time.time(), chance.settings["seconds"])
            smsc.order({chance.name: chance.settings})
            if chance.lasts:
                await asyncio.sleep(LASTING_S)
                smsc.order({chance.name: None})

    async def settle(self) -> None:
        """No more faults; what is open is answered, and who has not come for his answers comes."""
        for simulator in self._smscs.values():
            simulator.smsc.order({"clear": True})
        for talk in list(self._talks):
            talk.cancel()

        async def is_settled() -> bool:
            for client in self.clients:
                await client.visit([], "in order")
            return not self.questions.open()

        await until(is_settled, SETTLE_S)


async def _answered(question: Question) -> bool:
    try:
        await asyncio.wait_for(question.answered.wait(), PATIENCE_S)
    except TimeoutError:
        return False
    return True


async def endure(minutes: float, seed: int) -> dict[str, Any]:
    """So many minutes of it; samples, answers, and the figures before and after."""
    with (
        engine("redis") as store,
        tempfile.TemporaryDirectory(prefix="cxmyd-endurance-") as folder,
    ):
        timers = Timers(session_init_s=10, enquire_link_s=10, enquire_timeout_s=5, response_timeout_s=8)
        rules = Rules(password="secret", timers=timers, routes=ROUTES, faults_by_address=PREFIX)
        fast = Rules(password="secret", timers=timers, routes=ROUTES, version=VERSION_50, rate_per_s=40)
        one, two = Simulator("127.0.0.1:0", None, rules=rules), Simulator("127.0.0.1:0", None, rules=fast)
        for simulator in (one, two):
            await simulator.start()
        listen = gateway.free_port()
        sections = SECTIONS.format(one=one.smpp_port, two=two.smpp_port, listen=listen, common=COMMON)
        smscs = {"china-mobile": one, "china-unicom": one, "china-telecom": two}
        clients: list[Client] = []
        load = Load(smscs, clients, seed)
        for index in (1, 2):
            clients.append(Client(listen, str(index), load.questions, seed + index))
        for simulator, watch in load.watches.items():
            simulator.observe(watch)
        with gateway.running(Path(folder), store.url, sections, SUBSCRIBERS) as under_test:
            async with aiohttp.ClientSession() as session:
                found = await _endure(load, under_test, session, minutes=minutes, seed=seed)
        for watch in load.watches.values():
            watch.close()
        found["answers"] = load.questions.verdict()
        for simulator in (one, two):
            await simulator.stop()
        return found


async def _endure(
    load: Load, under_test: Gateway, session: aiohttp.ClientSession, *, minutes: float, seed: int
) -> dict[str, Any]:
    samples: list[Sample] = []

    async def look() -> None:
        while True:
            samples.append(await under_test.sample(session))
            await asyncio.sleep(SAMPLE_EVERY_S)

    async def is_ready() -> bool:
        return bool(await gateway.ready(under_test, session))

    if not await until(is_ready, gateway.READY_TIMEOUT_S):
        raise SystemExit(f"the gateway is not ready: {under_test.errors()[-3:]}")
    before = await under_test.sample(session)
    work = [load.talk(), load.damage(), load.trouble(), look()]
    work += [
        keep_visiting(client, lambda count: load.take("china-unicom", count), seed + index)
        for index, client in enumerate(load.clients)
    ]
    running = [asyncio.create_task(each) for each in work]
    done, _ = await asyncio.wait(running, timeout=60 * minutes, return_when=asyncio.FIRST_EXCEPTION)
    for task in running:
        task.cancel()
    for task in done:
        task.result()
    await load.settle()
    await until(lambda: _is_idle(under_test, session, before), SETTLE_S)
    after = await under_test.sample(session)
    results.table("faults", ("fault", "ordered"), sorted(load.faults.items()))
    return {
        "minutes": minutes,
        "seed": seed,
        "faults": dict(load.faults),
        "visits": dict(sum((client.visits for client in load.clients), Counter[str]())),
        "before": before._asdict(),
        "after": after._asdict(),
        "samples": [sample._asdict() for sample in samples],
        "errors": under_test.errors(),
    }


async def _is_idle(under_test: Gateway, session: aiohttp.ClientSession, before: Sample) -> bool:
    now = await under_test.sample(session)
    at_rest = not now.waiting + now.messages + now.in_flight
    # A receipt that finds no message is looked up again for half a minute, each in a task.
    return at_rest and now.bound == before.bound and now.tasks <= before.tasks
