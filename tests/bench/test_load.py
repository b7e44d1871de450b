"""The project's own load: every answer is counted once, by its recipient and text, and in the right time."""

import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from bench.load import pdus
from bench.load.conversations import Conversations, Plan
from bench.load.run import latencies
from bench.load.schedule import Schedule, shared
from bench.load.session import Session
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
BASE = 8613800000000
PLAN = Plan(3, BASE, 3, ["CXMYD"], ["北京市"])
SHANGHAI = "您到访过：上海市。".encode("utf-16-be")
BEIJING = "您到访过：北京市。".encode("utf-16-be")


class Esme:
    """A bound session and what an ESME would see of it."""

    def __init__(self, plan: Plan, *, link: int = 1, bind: int = pdus.BIND_TRANSCEIVER) -> None:
        self.load = Conversations(plan)
        self.ids: Iterator[bytes] = map(b"%010d\0".__mod__, count(1))
        self.session = Session(link, self.load, self.ids)
        assert self.says(pdus.pdu(bind, 1, b"me\0pw\0\0\x34\0\0\0"))[0][:2] == (bind | pdus.RESP, 0)

    def says(self, data: bytes, now_s: float = 1.0) -> list[tuple[int, int, int, bytes]]:
        """The PDUs that come back."""
        return list(read(self.session.receive(data, now_s)))

    def is_asked(self, how_many: int, since_s: float = 0.0) -> list[tuple[int, int, int, bytes]]:
        data = self.load.begin([since_s] * how_many, self.session.link)
        self.session.unacked += how_many
        return list(read(data))

    @property
    def count(self) -> dict[str, int]:
        return {name: n for name, n in self.load.count.items() if n and name != "binds"}


def read(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    while data:
        length, command_id, status, sequence = pdus.HEADER.unpack_from(data)
        yield command_id, status, sequence, data[16:length]
        data = data[length:]


def submit(
    to: int | bytes, octets: bytes = BEIJING, *, esm_class: int = 0, coding: int = 8, tlvs: bytes = b""
) -> bytes:
    to = to if isinstance(to, bytes) else str(BASE + to).encode()
    head = b"\0\0\x0110086\0\1\1%b\0%b\0\0" % (to, bytes([esm_class, 0, 0]))
    body = head + bytes([0, 0, coding, 0, len(octets)]) + octets + tlvs
    return pdus.pdu(pdus.SUBMIT_SM, 77, body)


def ack(sequence: int, status: int = 0) -> bytes:
    return pdus.pdu(pdus.DELIVER_SM | pdus.RESP, sequence, b"\0", status)


def test_a_delivery_is_a_deliver_sm_from_the_subscriber() -> None:
    """With its sequence number, its number, the service's number and the text; each of the same length."""
    made = list(read(Esme(PLAN).load.begin([0.0, 0.0], 1)))
    assert [each[:3] for each in made] == [(pdus.DELIVER_SM, 0, 1), (pdus.DELIVER_SM, 0, 2)]
    assert made[1][3] == b"\0\1\1%d\0\0\x0110086\0\0\0\0\0\0\0\0\0\0\x05CXMYD" % (BASE + 1)


def test_what_makes_a_message_a_new_one_can_be_sent_along() -> None:
    """The receipted_message_id is the message's own."""
    conversations = Conversations(PLAN._replace(ids=0xAB, subscribers=1))
    first, second = read(conversations.begin([0.0, 0.0], 1))
    assert first[3].endswith(b"CXMYD\0\x1e\0\x0d00ab00000001\0")
    assert second[3].endswith(b"CXMYD\0\x1e\0\x0d00ab00000002\0")
    assert first[3][:20] == second[3][:20]


def test_right_answers_are_answers_and_each_is_acknowledged() -> None:
    """Latency runs from the time the conversation counts from; its message_id is no other's."""
    esme = Esme(PLAN)
    esme.is_asked(3, since_s=0.25)
    said = esme.says(ack(1) + submit(0) + ack(2) + submit(1) + submit(2) + ack(3), now_s=1.0)
    assert [each[:3] for each in said] == [(pdus.SUBMIT_SM | pdus.RESP, 0, 77)] * 3
    assert len({each[3] for each in said}) == 3
    assert esme.count == {"submit_sm": 3, "answers": 3}
    assert esme.load.took_s == [0.75] * 3
    assert (esme.load.is_over, esme.load.unacked, esme.session.unacked, esme.load.open) == (True, 0, 0, 0)


def test_bytes_may_come_one_by_one() -> None:
    """Nothing is counted before it is complete."""
    esme = Esme(PLAN)
    esme.is_asked(1)
    data = submit(0) + ack(1)
    for at in range(len(data)):
        esme.says(data[at : at + 1])
    assert esme.count == {"submit_sm": 1, "answers": 1}
    assert esme.load.unacked == 0


@pytest.mark.parametrize(
    ("data", "counted"),
    [
        (submit(0) + submit(0), "duplicates"),
        (submit(2), "stray"),  # nobody asked yet
        (submit(3), "stray"),
        (submit(-1), "stray"),
        (submit(b"86138000_0000"), "stray"),
        (submit(b"me"), "stray"),
        (submit(0, SHANGHAI), "wrong_text"),
        (ack(9), "unknown_acks"),
        (ack(1) + ack(1), "unknown_acks"),
        (ack(1, 0x14), "nacked"),
        (pdus.pdu(pdus.GENERIC_NACK, 1, status=3), "nacked"),
    ],
    ids=count(),
)
def test_whatever_is_not_right_is_counted_as_what_it_is(data: bytes, counted: str) -> None:
    """Beside the one answer that there may be."""
    esme = Esme(PLAN)
    esme.is_asked(2)
    esme.says(data)
    found = {name: n for name, n in esme.count.items() if name not in ("answers", "submit_sm")}
    assert found == {counted: 1}


def test_what_was_refused_is_sent_again_after_a_pause() -> None:
    """Its conversation stays open meanwhile, so that no other takes its place, and began when it began."""
    esme = Esme(PLAN._replace(messages=1, subscribers=1, retry_s=0.5))
    esme.is_asked(1, since_s=1.0)
    esme.says(ack(1, 0x58), now_s=1.25)
    assert (esme.load.open, esme.load.unacked, esme.load.lines_due(1.5), esme.load.is_over) == (
        1,
        0,
        0,
        False,
    )
    assert esme.load.lines_due(1.75) == 1
    data, lines = esme.load.next_lines(5, 1)
    assert [each[:3] for each in read(data)] == [(pdus.DELIVER_SM, 0, 1)]
    assert lines == 1
    esme.says(ack(1) + submit(0), now_s=2.0)
    assert esme.count == {"submit_sm": 1, "answers": 1, "retried": 1}
    assert (esme.load.took_s, esme.load.is_over) == ([1.0], True)


def test_a_malformed_pdu_is_no_answer() -> None:
    """A text beyond the end, a PDU without an address, a length that cannot be: counted, and answered."""
    esme = Esme(PLAN)
    esme.is_asked(2)
    short = bytearray(submit(0))
    short[short.index(BEIJING) - 1] += 1  # sm_length
    bodiless = pdus.pdu(pdus.SUBMIT_SM, 5, b"abc")
    said = esme.says(bytes(short) + bodiless + struct.pack(">4I", 15, 4, 0, 9) + submit(1))
    assert [each[0] for each in said] == [pdus.SUBMIT_SM | pdus.RESP] * 2 + [pdus.GENERIC_NACK]
    assert esme.count == {"submit_sm": 1, "bad_pdus": 3}
    assert esme.session.ends


def test_parts_are_joined_in_any_order() -> None:
    """By user data header of 8 and 16 bits and by SAR TLVs; half a character in one is whole in the end."""
    esme = Esme(PLAN)
    esme.is_asked(3)
    at = 7
    for part in (2, 1):
        octets = BEIJING[at:] if part == 2 else BEIJING[:at]
        esme.says(submit(0, bytes([5, 0, 3, 9, 2, part]) + octets, esm_class=0x40))
        esme.says(submit(1, bytes([6, 8, 4, 9, 9, 2, part]) + octets, esm_class=0x40))
        sar = struct.pack(">HHHHHBHHB", 0x020C, 2, 9, 0x020E, 1, 2, 0x020F, 1, part)
        esme.says(submit(2, octets, tlvs=sar))
    assert esme.count == {"submit_sm": 6, "answers": 3, "multipart_answers": 3}


def test_a_message_payload_is_the_text_and_half_an_answer_is_none() -> None:
    """What is missing at the end shows."""
    esme = Esme(PLAN)
    esme.is_asked(2)
    esme.says(submit(0, b"", tlvs=struct.pack(">HH", 0x0424, len(BEIJING)) + BEIJING))
    esme.says(submit(1, bytes([5, 0, 3, 9, 2, 1]) + BEIJING, esm_class=0x40))
    assert esme.count == {"submit_sm": 2, "answers": 1, "payload_tlv": 1}
    assert esme.load.incomplete_parts == 1


def test_an_answer_may_have_to_name_its_recipient() -> None:
    """So that one that was sent to somebody else is found."""
    esme = Esme(PLAN._replace(expected=["%m"]))
    esme.is_asked(2)
    esme.says(submit(0, str(BASE).encode(), coding=0) + submit(1, str(BASE).encode(), coding=0))
    assert esme.count == {"submit_sm": 2, "answers": 2, "wrong_text": 1}


def test_the_next_line_follows_the_complete_answer() -> None:
    """Each line is judged by what is expected of it, and has a latency of its own."""
    esme = Esme(PLAN._replace(messages=1, lines=["CXMYD", "1234"], expected=["回复", "北京市"]))
    esme.is_asked(1)
    esme.says(ack(1) + submit(0, "请回复".encode("utf-16-be")), now_s=2.0)
    assert not esme.load.is_over
    esme.says(submit(0), now_s=2.5)  # before the second line was sent
    (line,) = read(esme.load.next_lines(5, 1)[0])
    assert line[2] == 2
    assert line[3].endswith(b"\x041234")
    esme.says(ack(2) + submit(0), now_s=3.0)
    assert esme.load.took_s == [2.0, 1.0]
    assert esme.count == {"submit_sm": 3, "answers": 1, "duplicates": 1}
    assert esme.load.is_over


def test_the_oldest_conversation_of_a_subscriber_is_answered_first() -> None:
    """A refused one is passed over."""
    esme = Esme(PLAN._replace(messages=4, subscribers=2))
    esme.is_asked(4)
    esme.says(ack(1, 0x14) + submit(0) + submit(1) + submit(1) + submit(0))
    assert esme.count == {"submit_sm": 4, "answers": 3, "nacked": 1, "duplicates": 1}
    assert esme.load.is_over


def test_an_acknowledgement_on_another_link_is_none() -> None:
    """Sequence numbers are a connection's own."""
    esme = Esme(PLAN)
    other = Session(2, esme.load, esme.ids)
    esme.is_asked(1)
    other.receive(ack(1), 1.0)
    assert esme.count == {"unknown_acks": 1}
    assert esme.load.unacked == 1


def test_who_is_bound_how_may_do_what() -> None:
    """A receiver takes messages and submits none; a second bind is refused; the rest is answered."""
    esme = Esme(PLAN, bind=pdus.BIND_RECEIVER)
    assert esme.session.takes_messages
    said = esme.says(submit(0) + pdus.pdu(9, 2) + pdus.pdu(0x15, 3) + pdus.pdu(0x103, 4) + pdus.pdu(6, 5))
    assert [each[:3] for each in said] == [
        (0x80000004, pdus.ESME_RINVBNDSTS, 77),
        (0x80000009, pdus.ESME_RALYBND, 2),
        (0x80000015, 0, 3),
        (pdus.GENERIC_NACK, pdus.ESME_RINVCMDID, 4),
        (0x80000006, 0, 5),
    ]
    assert esme.session.ends
    assert not Esme(PLAN, bind=pdus.BIND_TRANSMITTER).session.takes_messages


def test_gsm_text_is_read_with_its_extensions() -> None:
    """And what is outside of the alphabet shows as such."""
    assert pdus.decode(b"\x00\x1b\x65\x1b(a\xff", 0) == "@€{a\ufffd"
    assert pdus.decode(b"\xe9", 3) == "é"


def test_the_closed_loop_begins_as_others_end() -> None:
    """So many are open at a time, and each counts from its sending."""
    closed = Schedule(100, 0.0, 10)
    assert [closed.due(9.0, 0, 0), closed.due(9.0, 10, 10), closed.due(9.0, 98, 4)] == [10, 0, 2]
    assert closed.since_s(5.0, 7.0, 0, 2) == [7.0, 7.0]
    assert closed.next_s(5.0, 3) == float("inf")


def test_the_open_loop_begins_by_the_clock() -> None:
    """Late ones too count from when they were due."""
    by_clock = Schedule(100, 10.0, 0)
    assert [by_clock.due(0.0, 0, 0), by_clock.due(0.95, 3, 3), by_clock.due(60.0, 90, 0)] == [1, 7, 10]
    assert by_clock.since_s(5.0, 7.0, 3, 2) == [5.3, 5.4]
    assert by_clock.next_s(5.0, 3) == 5.3
    assert by_clock.next_s(5.0, 100) == float("inf")


def test_links_share_evenly_as_far_as_they_have_room() -> None:
    """What one cannot take is another's; who comes after the last message is not looked at."""
    assert list(shared(10, [100, 100, 100], 3)) == [4, 3, 3]
    assert list(shared(10, [1, 0, 100], 3)) == [1, 0, 9]
    assert list(shared(2, iter([0, 1, 1, 1]), 4)) == [0, 1, 1]
    assert list(shared(5, [], 0)) == []


def test_percentiles_are_those_of_loadsmsc() -> None:
    """The smallest figure that so many do not exceed."""
    found = latencies([float(n) for n in range(1, 1001)])
    assert found == {"mean": 500.5, "p50": 500, "p90": 900, "p99": 990, "p999": 999, "max": 1000}
    assert latencies([])["p99"] == 0


@pytest.mark.parametrize("gateway", ["nullgw_twisted.py", "nullgw_uvloop.py"])
@pytest.mark.parametrize("loop", [[], ["--rate", "5000"]], ids=["closed", "open"])
def test_a_real_null_gateway_is_judged_right(gateway: str, loop: list[str]) -> None:
    """All answers once, of the text that it sends; and wrong, where another is expected."""
    found = judged(gateway, *loop, "--messages", "2000", "--expect", "abc")
    assert (found["answers"], found["wrong_text"], found["missing"], found["status"]) == (2000, 0, 0, 0)
    assert found["lat_ms"]["p50"] > 0
    if not loop:
        found = judged(gateway, "--messages", "100", "--expect", "北京市")
        assert (found["answers"], found["wrong_text"], found["status"]) == (100, 100, 1)


def judged(gateway: str, *options: str) -> dict[str, Any]:
    port = str(free_port())
    command = [sys.executable, "-m", "bench.load.run", port, "--linger", "0.1", *options]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as load:
        assert load.stderr is not None
        assert load.stderr.readline() == "listening\n"
        esme = subprocess.Popen([sys.executable, f"bench/loadsmsc/{gateway}", "127.0.0.1", port], cwd=ROOT)
        out, err = load.communicate(timeout=60)
        esme.kill()
        esme.wait()
    assert out, err
    found: dict[str, Any] = json.loads(out)
    return found | {"status": load.returncode}
