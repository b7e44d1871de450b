"""One connection: our session on a transport in memory, the other role's at its end, Twisted's own clock."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from math import inf
from typing import Any

import pytest
from OpenSSL.SSL import Error as OpenSSLError
from service_identity import VerificationError
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from gateway.links.connection import CLOSE_TIMEOUT_S, Connection
from gateway.links.errors import LostError, TooLateError, UnsentError
from gateway.smpp import events, pdu
from gateway.smpp.codec import encode
from gateway.smpp.constants import CommandStatus
from gateway.smpp.pdu import Pdu
from gateway.smpp.session import Session, SessionConfig
from gateway.smpp.states import Role
from gateway.smpp.throttle import Throttle

CONFIG = SessionConfig(window=2, response_timeout_s=5.0, enquire_link_s=30.0, enquire_timeout_s=5.0)


class Owner:
    def __init__(self) -> None:
        self.bind_events: list[object] = []
        self.requests: list[Pdu] = []
        self.endings: list[str] = []
        self.free = inf
        self.away = 0
        self.waits_s: list[float] = []

    def bind_event(self, connection: Connection, event: object) -> None:
        self.bind_events.append(event)

    def room(self, connection: Connection) -> float:
        return self.free

    def turned_away(self, connection: Connection, count: int) -> None:
        self.away += count

    def requests_left(self, connection: Connection, waited_s: float, now_s: float) -> None:
        self.waits_s.append(waited_s)

    def request_received(self, connection: Connection, pdu: Pdu) -> None:
        self.requests.append(pdu)

    def connection_ended(self, connection: Connection, why: str) -> None:
        self.endings.append(why)


class Pair:
    """An ESME's connection, bound, and the SMSC's session that it talks to."""

    def __init__(self, throttle: Throttle | None = None, config: SessionConfig = CONFIG) -> None:
        self.clock = Clock()
        self.owner = Owner()
        self.wire = StringTransport()
        self.connection = Connection(
            Session(Role.ESME, config, 0.0),
            self.owner,
            self.clock,
            throttle=throttle or Throttle(),
            on_start=lambda c: c.session.bind(pdu.BindTransceiver(system_id="us", password="pw")),
        )
        self.smsc = Session(Role.SMSC, CONFIG, 0.0)
        connection: Any = self.connection  # Protocol.makeConnection has no types
        connection.makeConnection(self.wire)
        (asked,) = self.exchange()
        assert isinstance(asked, events.BindRequested)
        self.smsc.accept_bind("smsc")
        self.exchange()

    def request(
        self, request: Pdu, not_after_s: float = inf, *, throttled: bool = False
    ) -> asyncio.Future[Pdu]:
        """Send it; the future has what is heard of it."""
        future: asyncio.Future[Pdu] = asyncio.get_running_loop().create_future()

        def then(outcome: Pdu | Exception) -> None:
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

        body = encode(request)[16:]
        self.connection.request(body, request.command_id, then, not_after_s, throttled=throttled)
        return future

    def exchange(self) -> list[events.Event]:
        """One turn of the loop: what we wrote reaches the SMSC, what it wrote reaches us."""
        self.clock.advance(0)
        written = self.wire.value()
        self.wire.clear()
        happened = self.smsc.receive(written, self.clock.seconds())
        self.connection.dataReceived(self.smsc.data_to_send())
        return happened


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def submit(digits: str) -> pdu.SubmitSm:
    return pdu.SubmitSm(destination=pdu.Address(1, 1, digits), short_message=b"x")


def test_binds_and_tells_its_owner() -> None:
    async def scenario() -> None:
        pair = Pair()
        assert isinstance(pair.owner.bind_events[0], events.Bound)
        assert pair.connection.usable

    run(scenario)


def test_what_there_is_no_room_for_is_turned_away_and_told() -> None:
    """The owner takes one of three: it hears of that one, and that there were two more."""

    async def scenario() -> None:
        pair = Pair()
        pair.owner.free = 1
        texts = [pdu.DeliverSm(sequence_number=n, short_message=b"CXMYD") for n in (1, 2, 3)]
        pair.connection.dataReceived(b"".join(map(encode, texts)))
        assert len(pair.owner.requests) == 1
        assert pair.owner.away == 2

    run(scenario)


def test_what_one_turn_produced_leaves_in_one_write() -> None:
    """A deliver_sm_resp and two submit_sm of the same turn are one segment."""

    async def scenario() -> None:
        pair = Pair()
        writes: list[bytes] = []
        wire: Any = pair.wire
        wire.write = writes.append
        pair.request(submit("1"))
        pair.request(submit("2"))
        pair.clock.advance(0)
        assert len(writes) == 1

    run(scenario)


def test_requests_beyond_the_window_wait_in_their_order() -> None:
    async def scenario() -> None:
        pair = Pair()
        futures = [pair.request(submit(str(n))) for n in range(5)]
        seen = []
        for _ in range(6):
            for event in pair.exchange():
                assert isinstance(event, events.Incoming)
                assert isinstance(event.pdu, pdu.SubmitSm)
                seen.append(event.pdu.destination.digits)
                pair.smsc.respond(event.pdu.sequence_number, pdu.SubmitSmResp(message_id="m"))
        assert seen == ["0", "1", "2", "3", "4"]
        assert [f.result().command_status for f in futures] == [0] * 5

    run(scenario)


def test_the_owner_hears_how_long_a_request_waited_until_it_left() -> None:
    """For a slot of the window; not for its own response."""

    async def scenario() -> None:
        pair = Pair()
        for number in range(3):
            pair.request(submit(str(number)))
        pair.clock.advance(1.5)
        (first, _) = pair.exchange()
        assert isinstance(first, events.Incoming)
        pair.smsc.respond(first.pdu.sequence_number, pdu.SubmitSmResp(message_id="m"))
        pair.exchange()
        pair.clock.advance(0)
        assert pair.owner.waits_s == [0.0, 1.5]  # once for what left together

    run(scenario)


def test_a_request_without_response_is_told_lost_and_frees_its_slot() -> None:
    async def scenario() -> None:
        pair = Pair()
        future = pair.request(submit("1"))
        pair.exchange()
        pair.clock.advance(5.1)
        assert isinstance(future.exception(), LostError)
        assert pair.connection.session.window_free == 2

    run(scenario)


def test_a_lost_connection_ends_every_request() -> None:
    async def scenario() -> None:
        pair = Pair()
        futures = [pair.request(submit(str(n))) for n in range(5)]
        pair.exchange()
        pair.connection.connectionLost()
        assert all(isinstance(f.exception(), LostError) for f in futures)
        assert len(pair.owner.endings) == 1
        late = pair.request(submit("9"))
        assert isinstance(late.exception(), LostError)

    run(scenario)


def test_a_throttled_link_pauses_as_a_whole() -> None:
    async def scenario() -> None:
        pair = Pair()
        first = pair.request(submit("1"))
        (event,) = pair.exchange()
        assert isinstance(event, events.Incoming)
        refused = pdu.SubmitSmResp(command_status=CommandStatus.ESME_RTHROTTLED)
        pair.smsc.respond(event.pdu.sequence_number, refused)
        pair.exchange()
        assert first.result().command_status == CommandStatus.ESME_RTHROTTLED
        pair.request(submit("2"))
        assert pair.exchange() == []
        pair.clock.advance(0.11)
        assert len(pair.exchange()) == 1

    run(scenario)


def test_silence_is_noticed_within_the_two_enquiry_times() -> None:
    async def scenario() -> None:
        pair = Pair()
        pair.clock.pump([0.3] * 101)
        assert pair.wire.value()  # the enquire_link
        pair.clock.pump([0.3] * 18)
        assert pair.owner.endings == [events.CloseReason.ENQUIRE_LINK_UNANSWERED.value]
        assert pair.wire.disconnecting

    run(scenario)


def test_an_idle_link_is_asked_in_its_time_however_patient_we_are() -> None:
    """An enquire_link_resp alone brings the next deadline nearer than that of the enquiry was."""
    pair = Pair(config=replace(CONFIG, enquire_link_s=1.0))
    asked = 0
    for _ in range(10):
        pair.clock.advance(1)
        pair.clock.advance(0)
        asked += pair.wire.value()[4:8] == b"\0\0\0\x15"
        pair.exchange()
    assert asked == 10


def test_after_a_standstill_of_ours_what_came_meanwhile_is_read_first() -> None:
    """A minute without the processor: the response lies in the socket, and the peer is as alive as before."""

    async def scenario() -> None:
        pair = Pair()
        answered = pair.request(pdu.SubmitSm(short_message=b"hi"))
        (asked,) = pair.exchange()
        assert isinstance(asked, events.Incoming)
        pair.smsc.respond(asked.pdu.sequence_number, pdu.SubmitSmResp(message_id="1"))
        pair.clock.advance(60)
        assert not answered.done()
        pair.exchange()
        assert (await answered).command_status == 0
        pair.clock.pump([0.02] * 10)
        assert pair.owner.endings == []

    run(scenario)


def test_a_request_whose_time_is_over_never_leaves() -> None:
    """It waited for a pause of the SMSC, and an answer past its time to live is not sent."""

    async def scenario() -> None:
        pair = Pair()
        pair.request(submit("1"))
        (event,) = pair.exchange()
        assert isinstance(event, events.Incoming)
        refused = pdu.SubmitSmResp(command_status=CommandStatus.ESME_RMSGQFUL)
        pair.smsc.respond(event.pdu.sequence_number, refused)
        pair.exchange()
        late = pair.request(submit("2"), not_after_s=0.05)
        pair.clock.advance(0.2)
        assert isinstance(late.exception(), TooLateError)
        assert pair.exchange() == []

    run(scenario)


def test_what_was_throttled_goes_before_what_was_not_sent() -> None:
    async def scenario() -> None:
        pair = Pair()
        futures = [pair.request(submit(str(n))) for n in range(4)]  # the window is 2
        refused = [event.pdu for event in pair.exchange() if isinstance(event, events.Incoming)]
        for request in refused:
            status = CommandStatus.ESME_RTHROTTLED
            pair.smsc.respond(request.sequence_number, pdu.SubmitSmResp(command_status=status))
        pair.exchange()
        assert [f.result().command_status for f in futures[:2]] == [status, status]
        for digits in ("0", "1"):
            pair.request(submit(digits), throttled=True)
        pair.clock.pump([0.5] * 8)
        again = [event.pdu for event in pair.exchange() if isinstance(event, events.Incoming)]
        assert [r.destination.digits for r in again if isinstance(r, pdu.SubmitSm)] == ["0", "1"]

    run(scenario)


def test_what_never_left_is_told_from_what_may_have_arrived() -> None:
    """The one can be sent elsewhere at once, the other not without the danger of a second answer."""

    async def scenario() -> None:
        pair = Pair()
        futures = [pair.request(submit(str(n))) for n in range(4)]
        pair.exchange()
        pair.connection.connectionLost()
        assert [isinstance(f.exception(), UnsentError) for f in futures] == [False, False, True, True]

    run(scenario)


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (OpenSSLError([("SSL routines", "", "certificate verify failed")]), "TLS: certificate verify failed"),
        (VerificationError(errors=[]), "TLS: the certificate is for another name: see tls.server_name"),
        (ConnectionLost(), "connection lost"),
    ],
)
def test_what_tls_has_against_the_peer_is_why_it_ended(error: Exception, why: str) -> None:
    """An operator cannot mend a certificate that looks like a cut cable."""

    async def scenario() -> None:
        pair = Pair()
        pair.connection.connectionLost(Failure(error))
        assert pair.owner.endings == [why]

    run(scenario)


def test_a_peer_that_does_not_read_is_sent_nothing_more_and_not_read() -> None:
    """Until it has taken what is written; then all goes on by itself."""

    async def scenario() -> None:
        pair = Pair()
        pair.connection.pauseProducing()  # the transport's buffer is full
        assert pair.wire.producerState == "paused"
        pair.request(submit("1"))
        assert pair.exchange() == []
        pair.connection.resumeProducing()
        assert pair.wire.producerState == "producing"
        assert len(pair.exchange()) == 1

    run(scenario)


def test_a_closed_connection_is_cut_when_the_peer_does_not_take_the_rest() -> None:
    """Whoever does not read cannot keep it for ever."""

    async def scenario() -> None:
        pair = Pair()
        wire: Any = pair.wire
        aborted: list[bool] = []
        wire.abortConnection = lambda: aborted.append(True)
        pair.connection.close()
        pair.clock.advance(CLOSE_TIMEOUT_S / 2)
        assert aborted == []
        pair.clock.advance(CLOSE_TIMEOUT_S)
        assert aborted == [True]

    run(scenario)


def test_no_timer_is_left_after_the_end() -> None:
    async def scenario() -> None:
        pair = Pair()
        pair.request(submit("1"))
        pair.connection.connectionLost()
        pair.clock.advance(0)  # what was due in this turn of the loop
        assert pair.clock.getDelayedCalls() == []

    run(scenario)
