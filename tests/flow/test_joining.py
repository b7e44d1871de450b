"""Long messages through the real Redis: any order, several processes, repeated, reused and too many parts."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import permutations
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.flow.intake import Incomplete, Intake, Line
from gateway.flow.messages import Mo
from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY
from gateway.redis.turns import MAX_MESSAGES, MAX_OCTETS, PARTS_TTL_S, RedisParts
from gateway.smpp.constants import Tlv
from gateway.smpp.pdu import Address, DataSm, DeliverSm
from gateway.sms.alphabets import Alphabet, Codings, pack
from gateway.sms.segments import Method, Style, segment
from tests.flow.harness import PLAIN, PROMPT, pseudonyms

LINE = Line("smsc-1", PLAIN, Codings())
Scenario = Callable[["Process"], Awaitable[None]]


class Process:
    """One gateway process, as far as joining goes."""

    def __init__(self, folder: Path, calls: Calls) -> None:
        names = pseudonyms(folder)
        self.calls = calls
        self.counts: Counter[str] = Counter()
        self._intake = Intake(
            parts=RedisParts(calls, names.subkeys("parts"), self._count),
            pseudonyms=names,
            numbers={"10086": PROMPT},
            default_country="CN",
        )

    def _count(self, what: str, count: int) -> None:
        self.counts[what] += count

    async def take(self, pdu: DeliverSm | DataSm, line: Line = LINE) -> str | Incomplete:
        """The whole text, or that it is not there yet."""
        got = await self.message(pdu, line)
        return got.text if isinstance(got, Mo) else got

    async def message(self, pdu: DeliverSm | DataSm, line: Line = LINE) -> Mo | Incomplete:
        assert self._intake.whole(pdu, line, 0.0) is None
        return await self._intake.joined(pdu, line, 0.0)

    async def parts_key(self) -> bytes:
        (key,) = await self.calls.call(b"", "KEYS", "j:*")
        assert isinstance(key, bytes)
        return key


@asynccontextmanager
async def process(url: str, folder: Path) -> AsyncIterator[Process]:
    calls = Calls(url, library=LIBRARY)
    assert await calls.wait_up(60)
    yield Process(folder, calls)
    await calls.close()


def run(url: str, folder: Path, scenario: Scenario) -> None:
    async def main() -> None:
        async with process(url, folder) as one:
            await scenario(one)

    asyncio.run(main())


def part(
    index: int,
    data: bytes,
    *,
    total: int = 2,
    reference: int = 7,
    source: str = "8613800000001",
    data_coding: int = 0,
) -> DeliverSm:
    return DeliverSm(
        source=Address(1, 1, source),
        destination=Address(0, 1, "10086"),
        esm_class=0x40,
        data_coding=data_coding,
        short_message=bytes((5, 0, 3, reference, total, index)) + data,
    )


def test_in_any_order_and_across_processes(redis_url: str, tmp_path: Path) -> None:
    """Each part may come by another process; all that went before is found by the last."""
    pieces = [b"CX", b"MY", b"D"]

    async def main() -> None:
        async with process(redis_url, tmp_path) as one, process(redis_url, tmp_path) as other:
            for reference, order in enumerate(permutations(range(3))):
                got: str | Incomplete = Incomplete.PART_KEPT
                for turn, index in enumerate(order):
                    assert got is Incomplete.PART_KEPT
                    pdu = part(index + 1, pieces[index], total=3, reference=reference)
                    got = await (one, other)[turn % 2].take(pdu)
                assert got == "CXMYD"

    asyncio.run(main())


def test_a_restart_in_the_middle(redis_url: str, tmp_path: Path) -> None:
    """A new process joins what another one, gone since, has kept."""

    async def begin(one: Process) -> None:
        assert await one.take(part(2, b"MYD")) is Incomplete.PART_KEPT

    async def end(other: Process) -> None:
        assert await other.take(part(1, b"CX")) == "CXMYD"

    run(redis_url, tmp_path, begin)
    run(redis_url, tmp_path, end)


def test_senders_with_one_reference_never_mix(redis_url: str, tmp_path: Path) -> None:
    """Two hundred at once, each with the same reference, total and moment."""
    numbers = [f"86138{number:08}" for number in range(200)]

    async def scenario(one: Process) -> None:
        for index in (2, 1):
            got = await asyncio.gather(
                *(one.take(part(index, f"{index}{number},".encode(), source=number)) for number in numbers)
            )
        assert got == [f"1{number},2{number}," for number in numbers]

    run(redis_url, tmp_path, scenario)


def test_a_part_again_with_the_same_content(redis_url: str, tmp_path: Path) -> None:
    """It changes nothing; after the last one, the same message again, known as a redelivery."""

    async def scenario(one: Process) -> None:
        for _ in range(3):
            assert await one.take(part(1, b"CX")) is Incomplete.PART_KEPT
        whole = await one.message(part(2, b"MYD"))
        again = await one.message(part(1, b"CX"))
        assert isinstance(whole, Mo)
        assert isinstance(again, Mo)
        assert again.text == whole.text == "CXMYD"
        assert again.digest == whole.digest
        assert one.counts["given_up"] == 0

    run(redis_url, tmp_path, scenario)


@pytest.mark.parametrize("finished", [False, True])
def test_a_reference_used_again(redis_url: str, tmp_path: Path, finished: bool) -> None:
    """Another content at a place that is taken: a new message, of which no old part becomes one."""

    async def scenario(one: Process) -> None:
        assert await one.take(part(1, b"old")) is Incomplete.PART_KEPT
        if finished:
            assert await one.take(part(2, b"OLD")) == "oldOLD"
        assert await one.take(part(1, b"new")) is Incomplete.PART_KEPT
        assert one.counts["given_up"] == (0 if finished else 1)
        assert await one.take(part(2, b"NEW")) == "newNEW"

    run(redis_url, tmp_path, scenario)


def test_another_total_is_another_message(redis_url: str, tmp_path: Path) -> None:
    """So are another width of the reference and another number texted."""

    async def scenario(one: Process) -> None:
        assert await one.take(part(1, b"CX")) is Incomplete.PART_KEPT
        assert await one.take(part(2, b"xx", total=3)) is Incomplete.PART_KEPT
        wide = part(0, b"")
        wide.short_message = bytes((6, 8, 4, 0, 7, 2, 2)) + b"xx"
        assert await one.take(wide) is Incomplete.PART_KEPT
        elsewhere = part(2, b"xx")
        elsewhere.destination = Address(0, 1, "10010")
        assert await one.take(elsewhere) is Incomplete.PART_KEPT
        assert await one.take(part(2, b"MYD")) == "CXMYD"

    run(redis_url, tmp_path, scenario)


def test_another_data_coding_in_each_part(redis_url: str, tmp_path: Path) -> None:
    """Each is read in its own; octets of one coding are joined first, so that a cut character is whole."""
    octets = "查😀".encode("utf-16-be")

    async def scenario(one: Process) -> None:
        assert await one.take(part(2, octets[4:], total=3, data_coding=8)) is Incomplete.PART_KEPT
        assert await one.take(part(3, b"\xe9", total=3, data_coding=3)) is Incomplete.PART_KEPT
        assert await one.take(part(1, octets[:4], total=3, data_coding=8)) == "查😀é"

    run(redis_url, tmp_path, scenario)


def test_each_way_of_telling_parts(redis_url: str, tmp_path: Path) -> None:
    """What our own segmentation makes for any SMSC comes back whole, data_sm with message_payload too."""
    text = "今天天气很好😀" * 20

    async def scenario(one: Process) -> None:
        for reference, method in enumerate((Method.UDH_8, Method.UDH_16, Method.SAR)):
            got: str | Incomplete = Incomplete.PART_KEPT
            for number, cut in enumerate(reversed(segment(text, reference, Style(method=method)))):
                source, destination = Address(1, 1, "8613800000001"), Address(0, 1, "10086")
                if number % 2:
                    tlvs = (*cut.tlvs, (int(Tlv.MESSAGE_PAYLOAD), cut.short_message))
                    pdu: DeliverSm | DataSm = DataSm(
                        source=source,
                        destination=destination,
                        esm_class=cut.esm_class,
                        data_coding=cut.data_coding,
                        tlvs=tlvs,
                    )
                else:
                    pdu = DeliverSm(source=source, destination=destination, **cut._asdict())
                got = await one.take(pdu)
            assert got == text

    run(redis_url, tmp_path, scenario)


def test_packed_septets_with_a_national_table(redis_url: str, tmp_path: Path) -> None:
    """Header, fill bits and tables of each part are kept with it."""
    line = Line("smsc-1", PLAIN, Codings(Alphabet.GSM_PACKED))
    first = part(1, b"")
    second = part(2, b"")
    # 23.040: concatenation and Turkish single shift, behind which septets begin after 5 fill bits
    first.short_message = bytes((8, 0, 3, 7, 2, 1, 0x24, 1, 1)) + pack(b"\x1bS\x1bs", 9)
    second.short_message = bytes((5, 0, 3, 7, 2, 2)) + pack(b"ab", 6)

    async def scenario(one: Process) -> None:
        assert await one.take(second, line) is Incomplete.PART_KEPT
        assert await one.take(first, line) == "Şşab"

    run(redis_url, tmp_path, scenario)


def test_parts_by_two_smscs_that_differ(redis_url: str, tmp_path: Path) -> None:
    """Each is read as the SMSC means it by which it came, whichever comes last."""
    unpacked, packed = LINE, Line("smsc-2", PLAIN, Codings(Alphabet.GSM_PACKED))

    async def scenario(one: Process) -> None:
        for reference, order in enumerate((slice(None), slice(None, None, -1))):
            first = part(1, b"CXM", reference=reference), unpacked
            second = part(2, pack(b"YD", 6), reference=reference), packed
            early, late = [first, second][order]
            assert await one.take(*early) is Incomplete.PART_KEPT
            assert await one.take(*late) == "CXMYD"

    run(redis_url, tmp_path, scenario)


def test_of_one_sender_no_more_than_the_limit(redis_url: str, tmp_path: Path) -> None:
    """The oldest unfinished message gives way to a newer one; nobody else's does."""

    async def scenario(one: Process) -> None:
        await one.take(part(1, b"other", source="8613800000002"))
        for reference in range(MAX_MESSAGES + 1):
            await one.take(part(1, b"%d" % reference, reference=reference))
        assert one.counts["given_up"] == 1
        assert await one.take(part(2, b"!", reference=1)) == "1!"
        assert await one.take(part(2, b"!", reference=0)) is Incomplete.PART_KEPT
        assert await one.take(part(2, b"!", source="8613800000002")) == "other!"

    run(redis_url, tmp_path, scenario)


def test_of_one_sender_no_more_octets_than_the_limit(redis_url: str, tmp_path: Path) -> None:
    """However long the parts; a message beyond the limit by itself is refused, and nothing of it stays."""

    async def scenario(one: Process) -> None:
        for reference in range(200):
            index = 1 + reference % 3
            await one.take(part(index, b"x" * (reference * 37 % 5_000), total=200, reference=reference))
            key = await one.parts_key()
            assert int(await one.calls.call(key, "MEMORY", "USAGE", key)) < 2 * MAX_OCTETS
        before = one.counts["refused"]
        got: str | Incomplete = Incomplete.PART_KEPT
        for index in range(1, 20):
            got = await one.take(part(index, b"x" * 5_000, total=200, reference=201))
            if got is Incomplete.REFUSED:
                break
        assert got is Incomplete.REFUSED
        assert one.counts["refused"] == before + 1
        key = await one.parts_key()
        assert int(await one.calls.call(key, "MEMORY", "USAGE", key)) < 2 * MAX_OCTETS
        assert await one.take(part(1, b"CX", reference=202)) is Incomplete.PART_KEPT
        assert await one.take(part(2, b"MYD", reference=202)) == "CXMYD"

    run(redis_url, tmp_path, scenario)


def test_255_parts(redis_url: str, tmp_path: Path) -> None:
    """As many as a header can tell."""

    async def scenario(one: Process) -> None:
        for index in range(255, 1, -1):
            assert await one.take(part(index, b"x", total=255)) is Incomplete.PART_KEPT
        assert await one.take(part(1, b"y", total=255)) == "y" + "x" * 254

    run(redis_url, tmp_path, scenario)


def test_parts_expire(redis_url: str, tmp_path: Path) -> None:
    """Ten minutes after the last of a message has come; later ones of others do not keep it."""

    async def scenario(one: Process) -> None:
        assert await one.take(part(1, b"CX")) is Incomplete.PART_KEPT
        key = await one.parts_key()
        assert 0 < await one.calls.call(key, "PTTL", key) <= PARTS_TTL_S * 1000

    run(redis_url, tmp_path, scenario)


def test_what_is_kept_of_a_part_is_sealed(redis_url: str, tmp_path: Path) -> None:
    """A part may hold ID digits: neither they nor the number can be read in Redis."""

    async def scenario(one: Process) -> None:
        await one.take(part(1, b"CXMYD#1234"))
        key = await one.parts_key()
        kept = b"".join(await one.calls.call(key, "HGETALL", key))
        assert b"1234" not in kept
        assert b"138" not in key + kept

    run(redis_url, tmp_path, scenario)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_messages_in_any_order(redis_url: str, tmp_path: Path, data: st.DataObject) -> None:
    """Several senders and references, parts shuffled and repeated: every text is joined, none is mixed."""
    text = st.text(st.sampled_from("ab€[查😀 "), min_size=161, max_size=500)
    wanted: dict[tuple[str, int], str] = {}
    pdus: list[tuple[tuple[str, int], DeliverSm]] = []
    method = data.draw(st.sampled_from([Method.UDH_8, Method.UDH_16, Method.SAR]))
    for sender in range(data.draw(st.integers(1, 3))):
        for reference in range(data.draw(st.integers(1, 4))):
            name = f"8613800000{sender:03}", reference
            wanted[name] = data.draw(text)
            pdus += [
                (
                    name,
                    DeliverSm(
                        source=Address(1, 1, name[0]), destination=Address(0, 1, "10086"), **cut._asdict()
                    ),
                )
                for cut in segment(wanted[name], reference, Style(method=method))
            ]
    shuffled = data.draw(st.permutations(pdus))
    repeated = data.draw(st.lists(st.sampled_from(pdus), max_size=5))
    at = data.draw(st.integers(0, len(shuffled)))
    order = [*shuffled[:at], *repeated, *shuffled[at:]]

    async def scenario(one: Process) -> None:
        await one.calls.call(b"", "FLUSHALL")
        got: dict[tuple[str, int], set[str]] = {name: set() for name in wanted}
        for name, pdu in order:
            text = await one.take(pdu)
            if isinstance(text, str):
                got[name].add(text)
        assert got == {name: {text} for name, text in wanted.items()}

    run(redis_url, tmp_path, scenario)
