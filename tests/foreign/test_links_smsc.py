"""Links to several SMSCs of one carrier: by which an answer leaves, in which order, and how fast."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from tests.foreign.service import Service
from tests.foreign.wire import BIND_TRANSMITTER, DELIVER_SM, Pdu, message, short_message
from tests.foreign.wire_smsc import Smsc, made, section

PLAIN = '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
THROTTLED = 0x58
GSM, UCS2 = 0, 8
UDHI = 0x40
SAR_MSG_REF_NUM, SAR_TOTAL_SEGMENTS, SAR_SEGMENT_SEQNUM = 0x020C, 0x020E, 0x020F


@pytest.fixture
def smscs() -> Iterator[Callable[..., Smsc]]:
    with made() as make:
        yield make


def test_an_answer_leaves_by_the_link_its_question_came_by(
    service: Service, smscs: Callable[..., Smsc]
) -> None:
    """Each way, with a transceiver beside a pair of transmitter and receiver."""
    one, two = smscs(), smscs()
    sections = section("one", one.port) + section("two", two.port, 'bind = "transmitter+receiver"\nbinds = 2')
    with service.gateway(sections + PLAIN):
        assert sorted(bind.command_id for _, bind in two.binds) == [1, 1, 2, 2]
        for n in range(3):
            one.ask(f"861390000010{n}")
            two.ask(f"861390000020{n}")
        assert len(one.texts(3)) == 3
        assert len(two.texts(3)) == 3
        assert all(two.wires[wire] == BIND_TRANSMITTER for _, _, wire in two.submits)


def test_a_link_that_ends_after_the_question_is_stood_in_for(
    service: Service, smscs: Callable[..., Smsc]
) -> None:
    """The answer leaves by another link of the carrier, and the question, when it comes again there, is not
    answered twice.
    """
    one, two = smscs(), smscs()
    with service.gateway(section("one", one.port) + section("two", two.port) + PLAIN):
        one.refuse_connections()
        one.ask("8613900000301")
        one.cut()
        assert len(two.texts(1)) == 1
        two.ask("8613900000301", sequence_number=77)
        two.ask("8613900000302", sequence_number=78)  # behind it
        assert len(two.texts(2)) == 2
        assert b"8613900000302\0" in two.submits[1][1].body
        assert one.submits == []


def test_a_link_that_stands_in_sends_in_its_own_style(service: Service, smscs: Callable[..., Smsc]) -> None:
    """Both links mean something else by data_coding 0 and want long texts told in another way: an answer is
    cut for the link that it leaves by, and not for the one that was asked.
    """
    one, two = smscs(), smscs()
    first, second = service.traveller().msisdn, service.traveller().msisdn
    other = section("two", two.port, 'default_alphabet = "gsm-packed"\nlong_messages = "sar"')
    with service.gateway(section("one", one.port) + other + PLAIN):
        one.ask(first, text=b"CXMYD EN")
        one.until(lambda: one.submits)
        one.until(lambda: len(one.submits) == short_message(one.submits[0][1]).text[4])
        one.refuse_connections()
        one.ask(second, text=b"CXMYD EN", sequence_number=2)
        one.cut()
        two.until(lambda: two.submits)
        total = short_message(two.submits[0][1]).tlvs[SAR_TOTAL_SEGMENTS][0]
        two.until(lambda: len(two.submits) >= total)
    usual = [short_message(submit) for _, submit, _ in one.submits]
    assert {(part.destination, part.esm_class, part.data_coding) for part in usual} == {(first, UDHI, GSM)}
    parts = [short_message(submit) for _, submit, _ in two.submits]
    assert {(part.destination, part.esm_class, part.data_coding) for part in parts} == {(second, 0, GSM)}
    assert [part.tlvs[SAR_SEGMENT_SEQNUM] for part in parts] == [bytes([n + 1]) for n in range(total)]
    assert len({part.tlvs[SAR_MSG_REF_NUM] for part in parts}) == 1
    text = b"".join(unpacked(part.text) for part in parts)
    assert text == b"".join(part.text[6:] for part in usual)


def unpacked(octets: bytes) -> bytes:
    """The septets that 3GPP TS 23.038, 6.1.2.1.1, packs into octets."""
    bits = int.from_bytes(octets, "little")
    septets = bytes(bits >> 7 * n & 0x7F for n in range(len(octets) * 8 // 7))
    return septets.removesuffix(b"\r")


def test_a_link_that_is_down_is_stood_in_for_and_used_again_when_it_is_back(
    service: Service, smscs: Callable[..., Smsc]
) -> None:
    """Of a pair the transmitter alone is away: questions come in by `one`, answers leave by `two`."""
    one, two = smscs(), smscs()
    sections = section("one", one.port, 'bind = "transmitter+receiver"') + section("two", two.port)
    with service.gateway(sections + PLAIN):
        transmitter = next(wire for wire, bound in one.wires.items() if bound == BIND_TRANSMITTER)
        one.bind_status = 0x0D
        transmitter.socket.shutdown(socket.SHUT_RDWR)
        one.until(lambda: transmitter not in one.wires)
        one.ask("8613900000401")
        assert len(two.texts(1)) == 1
        one.bind_status = 0
        one.until(lambda: BIND_TRANSMITTER in one.wires.values())
        one.ask("8613900000402", sequence_number=2)
        assert len(one.texts(1)) == 1


def test_no_second_holds_more_than_the_configured_rate(service: Service, smscs: Callable[..., Smsc]) -> None:
    """As the SMSC sees it, over all binds, and over a reconnection."""
    smsc = smscs()
    with service.gateway(section("one", smsc.port, "binds = 3\nrate_per_s = 20") + PLAIN):
        smsc.until(lambda: len(smsc.wires) == 3)
        for n in range(60):
            smsc.ask(f"86139000005{n:02}", sequence_number=n + 1)
        smsc.texts(25)
        smsc.cut()
        smsc.until(lambda: len(smsc.submits) >= 60)
        times = [at for at, _, _ in smsc.submits]
        assert max(sum(start <= at < start + 1.0 for at in times) for start in times) <= 20
        assert times[-1] - times[0] < 60 / 20 * 4


def test_a_throttled_answer_is_not_overtaken_by_the_subscribers_next(
    service: Service, smscs: Callable[..., Smsc]
) -> None:
    """Every third submit_sm is refused as too much: all answers arrive, each subscriber's in the order of his
    questions.
    """
    accepted: list[tuple[str, int]] = []
    tries: list[Pdu] = []

    def status(submit: Pdu) -> int:
        tries.append(submit)
        if len(tries) % 3 == 0:
            return THROTTLED
        accepted.append((short_message(submit).destination, short_message(submit).data_coding))
        return 0

    smsc = smscs(status)
    numbers = [f"861390000060{n}" for n in range(4)]
    texts = [b"CXMYD", b"CXMYD EN", b"cxmyd", b"cxmyd en"]  # answered in Chinese and English by turns
    with service.gateway(section("one", smsc.port) + PLAIN):
        smsc.until(lambda: smsc.wires)
        wire = next(iter(smsc.wires))
        for n in range(16):
            wire.send(message(DELIVER_SM, numbers[n % 4], "12345", texts[n // 4], number=n + 1))
        smsc.until(lambda: len(accepted) >= 16)
    for number in numbers:
        assert [coding for receiver, coding in accepted if receiver == number] == [UCS2, GSM, UCS2, GSM]
