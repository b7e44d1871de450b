"""Links to several SMSCs of one carrier: by which an answer leaves, in which order, and how fast."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import free_port
from tests.foreign.service import Service
from tests.foreign.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    RESP,
    SUBMIT_SM,
    UNBIND,
    Pdu,
    Wire,
    message,
    pdu,
)

PLAIN = '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n'
THROTTLED = 0x58
GSM, UCS2 = 0, 8
TIMEOUT_S = 10.0


def section(name: str, port: int, more: str = "") -> str:
    return f"""
[[smsc]]
name = "{name}"
port = {port}
system_id = "cxmyd"
password = "secret"
carrier = "plain"
reconnect_max_s = 1
{more}
"""


class Smsc:
    """Takes binds and submit_sm by hand. `status` says what a submit_sm is answered with; None: nothing."""

    def __init__(self, status: Callable[[Pdu], int | None] = lambda submit: 0) -> None:
        self.port = free_port()
        self.status = status
        self.bind_status = 0
        self.binds: list[tuple[float, int]] = []  # when, and the command_id
        self.submits: list[tuple[float, Pdu, Wire]] = []
        self.wires: dict[Wire, int] = {}  # and how it is bound
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(Wire(connection),), daemon=True).start()

    def _serve(self, wire: Wire) -> None:
        wire.socket.settimeout(None)
        try:
            while True:
                self._heard(wire, wire.receive())
        except OSError:
            with self._changed:
                self.wires.pop(wire, None)
                wire.socket.close()

    def _heard(self, wire: Wire, heard: Pdu) -> None:
        with self._changed:
            status: int | None = 0
            body = b""
            if heard.command_id in (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER):
                self.binds.append((time.monotonic(), heard.command_id))
                status, body = self.bind_status, b"smsc\0"
                if status == 0:
                    self.wires[wire] = heard.command_id
            elif heard.command_id == SUBMIT_SM:
                self.submits.append((time.monotonic(), heard, wire))
                status, body = self.status(heard), b"id\0"
            elif heard.command_id not in (ENQUIRE_LINK, UNBIND):
                status = None
            if status is not None:
                number = heard.sequence_number
                wire.send(
                    pdu(heard.command_id | RESP, body if status == 0 else b"", status=status, number=number)
                )
            self._changed.notify_all()

    def until(self, condition: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, TIMEOUT_S)

    def texts(self, wanted: int) -> list[bytes]:
        """The short_message of so many submit_sm, as they came."""
        self.until(lambda: len(self.submits) >= wanted)
        return [submit.body for _, submit, _ in self.submits]

    def ask(self, number: str, *, sequence_number: int = 1) -> None:
        """A subscriber's text, on a connection that is bound to receive."""
        self.until(lambda: any(bound != BIND_TRANSMITTER for bound in self.wires.values()))
        wire = next(wire for wire, bound in self.wires.items() if bound != BIND_TRANSMITTER)
        wire.send(message(DELIVER_SM, number, "12345", b"CXMYD", number=sequence_number))

    def stop(self) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        with self._changed:
            for wire in list(self.wires):
                wire.socket.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def smscs() -> Iterator[Callable[..., Smsc]]:
    made: list[Smsc] = []

    def make(*arguments: Callable[[Pdu], int | None]) -> Smsc:
        made.append(Smsc(*arguments))
        return made[-1]

    yield make
    for smsc in made:
        smsc.stop()


def test_an_answer_leaves_by_the_link_its_question_came_by(
    service: Service, smscs: Callable[..., Smsc]
) -> None:
    """Each way, with a transceiver beside a pair of transmitter and receiver."""
    one, two = smscs(), smscs()
    sections = section("one", one.port) + section("two", two.port, 'bind = "transmitter+receiver"\nbinds = 2')
    with service.gateway(sections + PLAIN):
        assert sorted(bound for _, bound in two.binds) == [1, 1, 2, 2]
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
        one._listener.close()
        one.ask("8613900000301")
        one.cut()
        assert len(two.texts(1)) == 1
        two.ask("8613900000301", sequence_number=77)
        two.ask("8613900000302", sequence_number=78)  # behind it
        assert len(two.texts(2)) == 2
        assert b"8613900000302\0" in two.submits[1][1].body
        assert one.submits == []


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
        assert times[-1] - times[0] < 60 / 20 * 2


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
        accepted.append(receiver_and_coding(submit))
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


def receiver_and_coding(submit: Pdu) -> tuple[str, int]:
    """destination_addr and data_coding of a submit_sm whose other texts are empty but the source."""
    source_end = submit.body.index(b"\0", 3)
    receiver_end = submit.body.index(b"\0", source_end + 3)
    return submit.body[source_end + 3 : receiver_end].decode(), submit.body[receiver_end + 8]
