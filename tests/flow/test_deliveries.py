"""Delivery states, from the SMSC's responses and receipts to the operator's figures, over a real Redis."""

import asyncio
from collections.abc import Awaitable, Callable

from gateway.app import MonotonicClock
from gateway.flow.deliveries import Deliveries, figures, reasons
from gateway.redis.calls import Calls
from gateway.redis.deliveries import RedisLedger
from gateway.redis.library import LIBRARY
from gateway.smpp.constants import Tlv
from gateway.smpp.pdu import DataSm, DeliverSm
from gateway.smpp.receipts import MessageState
from gateway.web.metrics import Metrics
from tests.conftest import RedisServer
from tests.flow.harness import until

HURRY = 50.0
LINKS = {"a": "one account", "b": "one account", "c": "another", "d": "a third"}
OwnRedis = Callable[..., RedisServer]


class HurriedClock(MonotonicClock):
    """Pauses pass in a fiftieth of their time."""

    def call_later(self, delay_s: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        return super().call_later(delay_s / HURRY, call)

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s / HURRY)


class Process:
    """One gateway process, as far as deliveries go."""

    def __init__(self, url: str) -> None:
        self.calls = Calls(url, library=LIBRARY, timeout_s=0.2)
        self.metrics = Metrics()
        self.deliveries = Deliveries(
            ledger=RedisLedger(self.calls),
            clock=HurriedClock(asyncio.get_running_loop()),
            recorder=self.metrics,
            accounts=LINKS,
        )

    async def accepted(self, link: str, *message_ids: str) -> None:
        for message_id in message_ids:
            self.deliveries.accepted(link, message_id)
        await self.quiet()

    async def receipts(self, link: str, *texts: str) -> None:
        """They come over the link, and are dealt with unless they have to wait."""
        for text in texts:
            self.deliveries.receipt(link, DeliverSm(esm_class=4, short_message=text.encode()))
        await self.quiet()

    async def quiet(self) -> None:
        """Until everything is written, and what receipts are left wait in a pause."""
        deliveries = self.deliveries
        while deliveries._writing is not None or len(deliveries._receipts) > len(deliveries._pauses):
            await asyncio.sleep(0.005)

    async def row(self, link: str) -> dict[str, int]:
        """The link's figures, without zeros."""
        await self.deliveries.look()
        (row,) = (row for row in self.deliveries.table if row["link"] == link)
        return {name: count for name, count in row.items() if count and name != "link"}

    def results(self) -> dict[tuple[str, ...], int]:
        return self.metrics.receipts.counts

    async def end(self) -> None:
        await self.deliveries.stop()
        await self.calls.close()


def with_processes(url: str, main: Callable[[Process, Process], Awaitable[None]]) -> None:
    async def run() -> None:
        processes = Process(url), Process(url)
        assert all([await process.calls.wait_up(60) for process in processes])
        try:
            await main(*processes)
        finally:
            for process in processes:
                await process.end()

    asyncio.run(run())


def test_figures_of_all_processes(redis_url: str) -> None:
    """Whoever gets the receipt, the figures are those of all; a failure is shown with its reason."""

    async def main(one: Process, other: Process) -> None:
        await one.accepted("a", "1", "2", "3", "4", "5")
        await other.receipts("a", "id:1 stat:DELIVRD err:000", "id:2 stat:UNDELIV err:027")
        await one.receipts("a", "id:3 stat:UNKNOWN", "id:4 stat:ENROUTE")
        expected = {"submitted": 5, "delivered": 1, "undelivered": 1, "unknown": 1, "waiting": 2}
        for process in (one, other):
            assert await process.row("a") == expected
            assert process.deliveries.failures == [
                {"link": "a", "state": "UNDELIVERABLE", "error": "027", "count": 1}
            ]
        assert one.metrics.deliveries.counts == {
            ("a", "submitted"): 5,
            ("a", "unknown"): 1,
            ("a", "enroute"): 1,
        }
        assert other.results() == {("a", "matched"): 2}

    with_processes(redis_url, main)


def test_forms_of_ids(redis_url: str) -> None:
    """Hex answers and decimal receipts, decimal answers and hex receipts, zeros, case, TLVs."""

    async def main(one: Process, _other: Process) -> None:
        await one.accepted("c", "1A2B3C", "0000777", "4660", "Msg-9", "beef")
        await one.receipts(
            "c",
            f"id:{0x1A2B3C} stat:DELIVRD",
            "id:777 stat:DELIVRD",
            "id:1234 stat:DELIVRD",
            "id:MSG-9 stat:DELIVRD",
        )
        tlvs = (
            (Tlv.RECEIPTED_MESSAGE_ID, b"0000BEEF\0"),
            (Tlv.MESSAGE_STATE, bytes([MessageState.DELIVERED])),
        )
        one.deliveries.receipt("c", DataSm(esm_class=4, tlvs=tlvs))
        await one.quiet()
        assert await one.row("c") == {"submitted": 5, "delivered": 5}

    with_processes(redis_url, main)


def test_forward_only(redis_url: str) -> None:
    """A repeated end counts once, an end is not overwritten, a late word of the way is ignored."""

    async def main(one: Process, other: Process) -> None:
        await one.accepted("c", "1")
        await one.receipts("c", "id:1 stat:ENROUTE")
        assert await one.row("c") == {"submitted": 1, "waiting": 1}
        for process in (one, other):
            await process.receipts("c", "id:1 stat:DELIVRD")
        await other.receipts("c", "id:1 stat:EXPIRED", "id:1 stat:ENROUTE")
        assert await one.row("c") == {"submitted": 1, "delivered": 1}
        assert one.results() == {("c", "matched"): 2}
        assert other.results() == {("c", "repeated"): 1, ("c", "late"): 2}

    with_processes(redis_url, main)


def test_overtaken_by_its_receipt(redis_url: str) -> None:
    """A receipt that comes before the response to its submit_sm is matched when this has come."""

    async def main(one: Process, other: Process) -> None:
        await other.receipts("c", "id:1 stat:DELIVRD")
        await one.accepted("c", "1")
        await until(lambda: other.results() == {("c", "matched"): 1})
        assert await one.row("c") == {"submitted": 1, "delivered": 1}

    with_processes(redis_url, main)


def test_unmatched(redis_url: str) -> None:
    """A receipt for an unknown id counts as unmatched in the end, at once when the gateway stops."""

    async def main(one: Process, other: Process) -> None:
        await other.receipts("c", "id:1 stat:DELIVRD")
        await other.deliveries.stop()
        assert other.results() == {("c", "unmatched"): 1}
        await one.receipts("c", "id:1 stat:DELIVRD", "nothing", "id:1 stat:ODD")
        await until(lambda: one.results() == {("c", "unreadable"): 2, ("c", "unmatched"): 1})
        assert await one.row("c") == {"unmatched": 2}

    with_processes(redis_url, main)


def test_links_of_one_account(redis_url: str) -> None:
    """A receipt may come over another link of the same account, but not over one of another."""

    async def main(one: Process, _other: Process) -> None:
        await one.accepted("a", "1")
        await one.accepted("c", "1", "2")
        await one.receipts("b", "id:1 stat:DELIVRD", "id:2 stat:DELIVRD")
        await one.receipts("d", "id:2 stat:DELIVRD")
        await one.receipts("nobody asked", "id:2 stat:DELIVRD")
        assert await one.row("a") == {"submitted": 1, "delivered": 1}
        assert await one.row("c") == {"submitted": 2, "waiting": 2}

    with_processes(redis_url, main)


def test_store_away(own_redis: OwnRedis) -> None:
    """Nobody waits for a store that is away: what it did not take is counted, receipts are looked up again
    when it is back.
    """
    server = own_redis("--appendonly", "yes", "--appendfsync", "always")

    async def main(one: Process, other: Process) -> None:
        await one.accepted("c", "1", "2")
        server.stop()
        await one.accepted("c", "3")
        await one.receipts("c", "id:1 stat:DELIVRD")
        assert one.results() == {("c", "not_kept"): 1}
        server.start()
        assert await one.calls.wait_up(60)
        await until(lambda: one.results().get(("c", "matched")) == 1)
        assert await one.row("c") == {"submitted": 2, "delivered": 1, "waiting": 1}
        server.stop()
        await other.receipts("c", "id:2 stat:DELIVRD")
        await until(lambda: other.results() == {("c", "lost"): 1})

    with_processes(server.url, main)


def test_no_id(redis_url: str) -> None:
    """A submit_sm_resp without message_id is counted, and nothing can be matched to it."""

    async def main(one: Process, _other: Process) -> None:
        await one.accepted("c", "")
        assert one.metrics.deliveries.counts == {("c", "submitted"): 1}
        assert one.results() == {("c", "not_kept"): 1}
        assert await one.row("c") == {}

    with_processes(redis_url, main)


def test_time_to_the_end(redis_url: str) -> None:
    """From the acceptance to the receipt of an end, as a histogram."""

    async def main(one: Process, _other: Process) -> None:
        await one.accepted("c", "1", "2")
        await one.receipts("c", "id:1 stat:ENROUTE", "id:2 stat:EXPIRED")
        count = one.metrics.registry.get_sample_value("cxmyd_delivery_seconds_count", {"link": "c"})
        assert count == 1

    with_processes(redis_url, main)


def test_top_reasons() -> None:
    """The commonest first, five at most; figures never fall below zero."""
    sums = {f"failed:EXPIRED:{n}": n for n in range(1, 9)} | {"failed:REJECTED:MK:0012": 99, "no_word": -3}
    assert [row["count"] for row in reasons(sums)] == [99, 8, 7, 6, 5]
    assert reasons(sums)[0] == {"state": "REJECTED", "error": "MK:0012", "count": 99}
    assert set(figures(sums).values()) == {0}
