"""A session between a peer that sends anything and an owner that does anything, judged after each step.

What must hold, whatever comes (gateway.smpp.session): nothing but the errors of the owner's own calls
escapes; a request of ours ends exactly once; a request handed out is answered exactly once; of what is
written every PDU can be decoded, and no number is answered more often than it was heard; windows and memory
stay within their bounds; after a tick the next deadline is ahead; the end is told once, and is the end.
"""

from collections import Counter

from fuzz.source import Source
from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import CLASSES, decode, encode
from gateway.smpp.constants import RESPONSE_BIT, CommandStatus, Version
from gateway.smpp.errors import FramingError, SessionError, Unencodable
from gateway.smpp.framing import Framer
from gateway.smpp.session import Role, Session, SessionConfig, State, response_to

_CLASSES = sorted(CLASSES.values(), key=lambda cls: cls.command_id)
_BINDS = (p.BindTransceiver, p.BindTransmitter, p.BindReceiver)
_VERSIONS = (Version.V3_4, Version.V5_0, Version.V3_3)
_REQUESTS = (p.SubmitSm, p.DeliverSm, p.DataSm, p.QuerySm, p.CancelSm, p.ReplaceSm, p.BroadcastSm)
_STATUSES = (0, 0, 0x58, 0x14, 0x08, 0x0D, 0x05, 0xFFFFFFFF)
_WINDOW, _PEER_WINDOW, _MAX_LENGTH = 3, 4, 256
_MAX_STEPS = 200


class Conversation:
    def __init__(self, source: Source) -> None:
        self._source = source
        self._now_s = 100.0
        role = source.choice((Role.ESME, Role.SMSC))
        self._session = Session(
            role,
            SessionConfig(
                enquire_link_s=3.0,
                enquire_timeout_s=1.0,
                response_timeout_s=2.0,
                answer_timeout_s=4.0,
                session_init_s=5.0,
                inactivity_s=source.choice((0.0, 6.0)),
                window=_WINDOW,
                peer_window=_PEER_WINDOW,
                max_length=_MAX_LENGTH,
                version=source.choice(_VERSIONS),
            ),
            self._now_s,
        )
        self._requests = 0
        self._open: set[int] = set()  # contexts of our requests that have not ended
        self._owed: list[p.Pdu] = []  # requests of the peer that were handed out and not answered
        self._put_off = 0
        self._heard: Counter[int] = Counter()  # what could be answered, by sequence_number
        self._answered: Counter[int] = Counter()
        self._peer = Framer(_MAX_LENGTH)  # cuts what the session hears
        self._us = Framer(1 << 20)  # cuts what it writes
        self._deaf = False  # it was sent what no stream goes on after
        self._closed = False
        self._last_number = 1

    def run(self) -> None:
        acts = (
            self._hear_octets,
            self._hear_pdu,
            self._hear_response,
            self._wait,
            self._bind,
            self._decide,
            self._request,
            self._respond,
            self._hear_bind,
            self._write,
            self._hear_pdu,
            self._end,
        )
        for _ in range(_MAX_STEPS):
            if not self._source.left:
                break
            self._source.choice(acts)()
            self._judge()
        self._write()
        self._after(self._session.connection_lost())
        assert self._closed
        assert not self._open
        assert self._session.receive(encode(p.EnquireLink(sequence_number=1)), self._now_s) == []
        assert self._session.tick(self._now_s + 1e9) == []

    # what the peer does

    def _hear_octets(self) -> None:
        self._hear(self._source.octets(self._source.octet()))

    def _hear_pdu(self) -> None:
        """Of any kind, under any number, damaged or not."""
        cls = self._source.choice(_CLASSES)
        self._hear_one(cls(command_status=self._source.choice(_STATUSES)), self._source.octet() % 8)

    def _hear_bind(self) -> None:
        self._hear_one(self._source.choice(_BINDS)(interface_version=self._source.octet()), 1)

    def _hear_response(self) -> None:
        """To our latest request, or to one before it."""
        cls = self._source.choice([cls for cls in _CLASSES if cls.command_id & RESPONSE_BIT])
        pdu = cls(command_status=self._source.choice(_STATUSES))
        self._hear_one(pdu, self._last_number - self._source.octet() % 4)

    def _hear_one(self, pdu: p.Pdu, number: int) -> None:
        pdu.sequence_number = max(0, number)
        try:
            octets = bytearray(encode(pdu))
        except Unencodable:  # a submit_multi without destinations
            return
        damage = self._source.octet()
        if damage > 200 and len(octets) > 16:
            octets[16 + damage % (len(octets) - 16)] ^= 1 << damage % 8
        cut = self._source.octet() % (len(octets) + 1)
        self._hear(bytes(octets[:cut]))
        self._hear(bytes(octets[cut:]))

    def _hear(self, octets: bytes) -> None:
        if not self._deaf and not self._closed:
            try:
                for frame in self._peer.frames(octets):
                    self._heard[int.from_bytes(frame[12:16], "big")] += 1
            except FramingError:
                self._deaf = True
                self._heard[0] += 1
        held = self._session._framer.held
        closed = self._closed
        self._after(self._session.receive(octets, self._now_s))
        assert not closed or self._session._framer.held == held

    def _wait(self) -> None:
        self._now_s += self._source.octet() / 50
        self._after(self._session.tick(self._now_s))
        deadline_s = self._session.next_deadline_s()
        assert (deadline_s is None) == (self._session.state is State.CLOSED)
        assert deadline_s is None or deadline_s > self._now_s

    # what the owner does

    def _bind(self) -> None:
        session = self._session
        try:
            if session.role is Role.ESME:
                session.bind(self._source.choice(_BINDS)(system_id="cxmyd"))
            else:
                session.outbind(p.Outbind())
        except SessionError:
            pass

    def _decide(self) -> None:
        """Of a bind that was asked for."""
        try:
            if self._source.octet() % 4:
                self._session.accept_bind("smsc")
            else:
                self._session.refuse_bind(CommandStatus.ESME_RINVPASWD)
        except SessionError:
            pass

    def _request(self) -> None:
        self._requests += 1
        try:
            cls = self._source.choice(_REQUESTS)
            number = self._session.request(cls(), self._now_s, self._requests)
        except (SessionError, Unencodable):
            return
        self._last_number = number
        self._open.add(self._requests)

    def _respond(self) -> None:
        if not self._owed:
            return
        request = self._owed.pop(self._source.octet() % len(self._owed))
        response = response_to(request, self._source.choice(_STATUSES))
        if not self._session.respond(request.sequence_number, response):
            assert self._closed or self._put_off
            self._put_off = max(0, self._put_off - 1)

    def _end(self) -> None:
        act = self._source.octet() % 8
        if act == 0:
            self._after(self._session.connection_lost())
        elif act == 1:
            self._after(self._session.unbind(self._now_s))

    def _write(self) -> None:
        for frame in self._us.frames(self._session.data_to_send()):
            pdu = decode(frame)
            if pdu.command_id & RESPONSE_BIT:
                self._answered[pdu.sequence_number] += 1
                assert self._answered[pdu.sequence_number] <= self._heard[pdu.sequence_number], pdu
        assert not self._us.held

    # what must hold

    def _after(self, events: list[e.Event]) -> None:
        for event in events:
            assert not self._closed, "after the end"
            match event:
                case e.Response(context, _) | e.Expired(context):
                    self._open.remove(context)
                case e.Incoming(pdu):
                    if pdu.response is not None:
                        self._owed.append(pdu)
                case e.Closed(_, contexts):
                    assert sorted(contexts) == sorted(self._open)
                    self._open.clear()
                    self._closed = True

    def _judge(self) -> None:
        session = self._session
        assert self._closed == (session.state is State.CLOSED)
        assert session.in_flight == len(self._open) <= _WINDOW
        assert session.owing <= _PEER_WINDOW
        if not self._closed:
            # Answered too late is answered by the session; these are still in our list.
            put_off = len(self._owed) - session.owing
            assert put_off >= 0
            assert put_off <= session.counters.put_off
            self._put_off = put_off
            assert session._framer.held < _MAX_LENGTH
        assert 0 <= session.window_free <= _WINDOW
