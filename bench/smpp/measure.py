"""Cost of the codec beside smpplib and smpp.pdu3, of the session beside the codec, and of the parser by size.

CPU time of one thread, in interleaved rounds: every round runs each way once, so that what slows the machine
slows all of them, and a ratio is taken within a round. Figures are medians over the rounds. `make bench-smpp`
calls it; `report` writes what it found into docs/smpp.md.
"""

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import click

from bench.smpp import codecs, report
from bench.store import results
from gateway.smpp import pdu as p
from gateway.smpp.codec import HEADER, decode, encode
from gateway.smpp.constants import Tlv
from gateway.smpp.errors import PduError
from gateway.smpp.events import Incoming
from gateway.smpp.framing import Framer
from gateway.smpp.session import Role, Session, SessionConfig

SLICE_S: Final = 0.04  # of CPU time for each way in each round
PDUS_A_READ: Final = (1, 20)
EXCHANGES: Final = 2_000  # of a session in each round
PDUS_AN_EXCHANGE: Final = 4
SIZES: Final = tuple(256 << power for power in range(9))  # to 64 KiB

Way = Callable[[], float]  # runs once and gives its CPU seconds for one piece of work


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="5 rounds instead of 41.")
def main(quick: bool) -> None:
    rounds = 5 if quick else 41
    codecs.check()
    figures = {
        "codec": {name: _beside(work, rounds) for name, work in codecs.WORK.items()},
        "session": {str(at_once): _session_beside_codec(at_once, rounds) for at_once in PDUS_A_READ},
        "parser": _by_size(rounds // 4),
    }
    results.save("smpp", figures, quick=quick)
    report.show(figures)
    report.write(figures | {"run": results.load("smpp")["run"]} if not quick else None)


def interleaved(ways: dict[str, Way], rounds: int) -> list[dict[str, float]]:
    """Seconds of each way in each round, without the collector of cycles, which none of them needs."""
    for way in ways.values():
        way()
    gc.collect()
    gc.disable()
    try:
        return [{name: way() for name, way in ways.items()} for _ in range(rounds)]
    finally:
        gc.enable()


def repeated(work: Callable[[], object]) -> Way:
    """`work` as often as fits into a slice."""
    began_s = time.process_time()
    tries = 0
    while time.process_time() - began_s < SLICE_S / 4:
        work()
        tries += 1
    count = range(4 * tries)

    def run() -> float:
        began_s = time.process_time()
        for _ in count:
            work()
        return (time.process_time() - began_s) / len(count)

    return run


def _beside(work: Callable[[codecs.Codec], Callable[[], object]], rounds: int) -> dict[str, Any]:
    ways = {codec.name: repeated(work(codec)) for codec in codecs.CODECS}
    found = interleaved(ways, rounds)
    ours = codecs.CODECS[0].name
    return {
        name: {
            "us": 1e6 * median(each[name] for each in found),
            "ratio": median(each[name] / each[ours] for each in found),
        }
        for name in ways
    }


def _session_beside_codec(at_once: int, rounds: int) -> dict[str, float]:
    """An ESME's session in its traffic, `at_once` questions a read; the same PDUs through the codec alone."""
    conversation = Conversation(at_once)
    found = interleaved({"codec": repeated(codecs.Ours().exchange), "session": conversation.run}, rounds)
    machine = [each["session"] / each["codec"] - 1 for each in found]
    return {
        "codec_us": 1e6 * median(each["codec"] for each in found) / PDUS_AN_EXCHANGE,
        "session_us": 1e6 * median(each["session"] for each in found) / PDUS_AN_EXCHANGE,
        "machine_to_codec": median(machine),
    }


class Conversation:
    """A bound ESME that answers every question with ESME_ROK and a submit_sm."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._session = Session(Role.ESME, SessionConfig(), 0.0)
        self._session.bind(p.BindTransceiver())
        self._session.receive(encode(p.BindTransceiverResp(sequence_number=1)), 0.0)
        self._session.data_to_send()
        self._sent = 1

    def run(self) -> float:
        """CPU seconds an exchange; what the peer sends is made beforehand."""
        at_once, session = self._at_once, self._session
        questions = codecs.DELIVER * at_once
        peer = []
        for _ in range(EXCHANGES // at_once):
            responses = [self._response(self._sent + 1 + number) for number in range(at_once)]
            self._sent += at_once
            peer.append(b"".join(responses))
        began_s = time.process_time()
        for responses_octets in peer:
            for event in session.receive(questions, 1.0):
                assert isinstance(event, Incoming)
                session.respond(event.pdu.sequence_number, p.DeliverSmResp())
                session.request(codecs.submit_sm(), 1.0, None)
            session.data_to_send()
            session.receive(responses_octets, 1.0)
        spent_s = time.process_time() - began_s
        if session.in_flight or session.owing or session.counters.unexpected:
            raise SystemExit("the conversation went wrong")
        return spent_s / (len(peer) * at_once)

    @staticmethod
    def _response(sequence_number: int) -> bytes:
        head = HEADER.pack(len(codecs.SUBMITTED), p.SubmitSmResp.command_id, 0, sequence_number)
        return head + codecs.SUBMITTED[16:]


# --- the parser by size of the PDU --------------------------------------------------------------------------


def _by_size(rounds: int) -> dict[str, dict[str, float]]:
    """ns an octet: flat where the time is linear."""
    found: dict[str, dict[str, float]] = {}
    for name, make, step in (
        ("octet by octet", _payload, 1),
        ("in segments of 1,460 octets", _payload, 1_460),
        ("all of it empty TLVs", _empty_tlvs, 1_460),
        ("a TLV that lies", _lying, 1_460),
    ):
        found[name] = {}
        for size in SIZES:
            octets = make(size)
            spent = interleaved({"parse": lambda octets=octets, step=step: _parse_s(octets, step)}, rounds)
            found[name][str(size)] = 1e9 * median(each["parse"] for each in spent) / size
    return found


def _parse_s(octets: bytes, step: int) -> float:
    segments = [octets[at : at + step] for at in range(0, len(octets), step)]
    times = max(1, SIZES[-1] // len(octets))  # as many octets for small PDUs as for large ones
    framer = Framer()
    heard = 0
    began_s = time.process_time()
    for _ in range(times):
        for segment in segments:
            for frame in framer.frames(segment):
                heard += 1
                _decoded(frame)
    spent_s = time.process_time() - began_s
    if heard != times:
        raise SystemExit("the framer lost a PDU")
    return spent_s / times


def _decoded(frame: bytes) -> None:
    try:
        decode(frame)
    except PduError:
        return


def _payload(size: int) -> bytes:
    head = len(encode(p.DeliverSm(tlvs=((Tlv.MESSAGE_PAYLOAD, b""),))))
    return encode(p.DeliverSm(tlvs=((Tlv.MESSAGE_PAYLOAD, bytes(size - head)),)))


def _empty_tlvs(size: int) -> bytes:
    return encode(p.DataSm(tlvs=((0x1401, b""),) * ((size - 26) // 4)))


def _lying(size: int) -> bytes:
    octets = _payload(size)
    head = len(encode(p.DeliverSm(tlvs=((Tlv.MESSAGE_PAYLOAD, b""),))))
    return octets[: head - 2] + b"\xff\xff" + octets[head:]


if __name__ == "__main__":
    main()
