"""The simulated SMSC: stores and forwards what phones send, takes and joins what phones receive.

Invariant: a text from a phone is kept until every part of it got ESME_ROK; what was refused for the time
being, not answered in time, or in flight on a connection that ended, is delivered again. No sockets, no
clock of its own: `server` (asyncio), tests and the deterministic simulation give it both.
"""

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from smpplib import consts

from gateway.simulator import alphabets, joining, odd, pdus, receipts
from gateway.simulator.clock import Clock
from gateway.simulator.events import Body, Event, Link, PartArrived
from gateway.simulator.faults import FAULTS, Faults
from gateway.simulator.messages import History, Message
from gateway.simulator.outlet import Wire
from gateway.simulator.pdus import Pdu, PduError
from gateway.simulator.rates import Bucket
from gateway.simulator.session import VERSION_34, Session, Timers
from gateway.simulator.trace import Parties, Traces

_LONGEST_ID_33 = 8  # of a message_id, hexadecimal; SMPP 3.3
# Refusals after which an SMSC tries again; after any other it gives the message up.
TEMPORARY = frozenset(
    {
        consts.SMPP_ESME_RSYSERR,
        consts.SMPP_ESME_RMSGQFUL,
        consts.SMPP_ESME_RTHROTTLED,
        consts.SMPP_ESME_RX_T_APPN,
        consts.SMPP_ESME_RINVBNDSTS,
    }
)


@dataclass(frozen=True)
class Rules:
    """How this SMSC behaves. `system_id` and `password` None: any. `routes`: service number to system_id; a
    service without a route goes to any receiver whose address_range (a regular expression, section 5.2.7)
    matches or is empty. `window`: deliver_sm in flight on one bind. `version`: the highest spoken (0x33,
    0x34, 0x50). `rate_per_s`: submit_sm of one system_id, `submit_window`: those of one bind that wait for
    their response; beyond either, ESME_RTHROTTLED (0: no limit). `response_s`: until a submit_sm_resp.
    `faults_by_address`: the prefix of addresses that order faults (see `faults`). `alphabet`: what
    data_coding 0 means, one of `alphabets.DEFAULTS`.
    """

    system_id: str | None = None
    password: str | None = None
    routes: Mapping[str, str] = field(default_factory=dict)
    retry_s: float = 1.0
    validity_s: float = 86_400.0
    receipt_delay_s: float = 0.05
    window: int = 10
    version: int = VERSION_34
    rate_per_s: float = 0.0
    submit_window: int = 0
    response_s: float = 0.0
    faults_by_address: str | None = None
    alphabet: str = "gsm"
    timers: Timers = field(default_factory=Timers)


@dataclass(eq=False)
class _Delivery:
    """A deliver_sm that is owed to the ESME: a part of `message`, or a receipt (`message` None)."""

    fields: dict[str, Any]
    parties: Parties
    expires_s: float
    message: Message | None
    done: bool = False


class Smsc:
    """See the module. Methods of `session.Exchange` are called by sessions, the others by server, API and
    tests.
    """

    def __init__(
        self, clock: Clock, rules: Rules | None = None, observe: Callable[[Event], None] = lambda event: None
    ) -> None:
        self.rules = rules or Rules()
        self.history = History()
        self.traces = Traces()
        self.faults = Faults(self.rules.faults_by_address)
        self.sessions: dict[int, Session] = {}
        self._clock = clock
        self._observe = observe
        self._unfinished = joining.Unfinished()
        self._waiting: dict[str, deque[_Delivery]] = {}
        self._buckets: dict[str, Bucket] = {}
        self._links = self._messages = self._reference = 0
        self._run = f"{int(clock.now_s()) & 0xFFFFFF:06x}"  # so that a restart does not repeat its ids

    # For server, API and tests

    def accept(self, wire: Wire) -> Session:
        """A connection has been made, by the ESME or (outbind) by us."""
        self._links += 1
        session = Session(
            self._links,
            exchange=self,
            wire=wire,
            clock=self._clock,
            timers=self.rules.timers,
            faults=self.faults,
            version=self.rules.version,
            response_s=self.rules.response_s,
            submit_window=self.rules.submit_window,
        )
        self.sessions[session.link] = session
        return session

    def send(
        self,
        number: str,
        service: str,
        text: str,
        *,
        data_coding: int | None = None,
        source_ton: int = consts.SMPP_TON_INTL,
        source_npi: int = consts.SMPP_NPI_ISDN,
    ) -> Message:
        """A phone sends a text to a service number. Raises ValueError for what no phone could send.

        `data_coding` 0, 1, 3 or 8; None: GSM if the text fits it, else UCS2.
        """
        number, service = number.strip().lstrip("+"), service.strip().lstrip("+")
        for name, address in (("from", number), ("to", service)):
            if not re.fullmatch(r"[\x20-\x7e]{1,20}", address):
                raise ValueError(f"{name} must be an address of 1 to 20 ASCII characters, not {address!r}")
        self._reference = (self._reference + 1) % 256
        parts = alphabets.parts_of(text, self._reference, data_coding, self.rules.alphabet)
        message = Message(
            self._next_id("mo"), "mo", number, service, text, self._clock.now_s(), "queued", len(parts)
        )
        self.history.add(message)
        self._emit("mo_sent", message)
        addresses = {
            "source_addr_ton": source_ton,
            "source_addr_npi": source_npi,
            "source_addr": number,
            "dest_addr_ton": consts.SMPP_TON_UNK,
            "dest_addr_npi": consts.SMPP_NPI_ISDN,
            "destination_addr": service,
        }
        expires_s = message.at_s + self.rules.validity_s
        waiting = self._waiting.setdefault(service, deque())
        for part in parts:
            # Our own id, the same when it is delivered again: a text that was really sent twice has two.
            own = {"receipted_message_id": self._next_id("mt")}
            fields = addresses | part._asdict() | own
            waiting.append(_Delivery(fields, Parties(number, service), expires_s, message))
        self._forward(service)
        return message

    def order(self, orders: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out fault orders by name (see `faults.FAULTS`), or `clear`; the orders now in force. Raises
        faults.OrderError.
        """
        for name, settings in orders.items():
            if name == "clear":
                self.faults.clear()
            elif name in FAULTS and FAULTS[name].act:
                checked = self.faults.checked(name, settings)
                if checked is not None:
                    for session in list(self.sessions.values()):
                        session.act(name, checked)
            else:
                self.faults.order(name, settings, self._clock.now_s())
        return self.faults.as_json()

    def links(self) -> list[Link]:
        """The bound ESMEs."""
        return [self._link(session) for _, session in sorted(self.sessions.items()) if session.bind_type]

    def pending(self) -> int:
        """deliver_sm that wait for a bind, a free place in the window, or a retry that is due."""
        return sum(map(len, self._waiting.values()))

    def stop(self) -> None:
        """Unbind from every ESME; nothing is delivered any more."""
        for session in list(self.sessions.values()):
            session.unbind()

    # session.Exchange

    def admit(self, system_id: str, password: str) -> int:
        refusal = self.faults.take("refuse_bind")
        if refusal is not None:
            return int(refusal["status"])
        if self.rules.system_id not in (None, system_id):
            return int(consts.SMPP_ESME_RINVSYSID)
        if self.rules.password not in (None, password):
            return int(consts.SMPP_ESME_RINVPASWD)
        return int(consts.SMPP_ESME_ROK)

    def bound(self, session: Session) -> None:
        self._emit("link_up", self._link(session))
        self._forward_all()

    def throttles(self, session: Session) -> bool:
        bucket = self._bucket(session)
        return bucket is not None and not bucket.take(self._clock.now_s())

    def congestion(self, session: Session) -> int | None:
        order = self.faults.lasting("congestion")
        if order is not None:
            return int(order["percent"])
        bucket = self._bucket(session)
        return None if bucket is None else bucket.used_percent

    def _bucket(self, session: Session) -> Bucket | None:
        if not self.rules.rate_per_s:
            return None
        return self._buckets.setdefault(session.system_id, Bucket(self.rules.rate_per_s))

    def submitted(self, session: Session, pdu: Pdu) -> str:
        number, service = pdu.destination_addr.lstrip("+"), pdu.source_addr.lstrip("+")
        if not number:
            raise PduError(consts.SMPP_ESME_RINVDSTADR, "no destination")
        piece = joining.piece_of(pdu, self.rules.alphabet)
        arrived, text = self._unfinished.add(service, number, piece)
        now_s = self._clock.now_s()
        parties = Parties(number, service)
        message_id = self._next_id("mt")
        if session.version < VERSION_34:
            message_id = message_id[-_LONGEST_ID_33:]
        if piece.total > 1:
            self._emit("mt_part", PartArrived(number, service, piece.position, arrived, piece.total))
        if text is not None:
            message = Message(message_id, "mt", number, service, text, now_s, "received", piece.total)
            question = self.history.unanswered(number, service)
            if question is not None:
                question.answered_by = message_id
                message.answer_ms = round((now_s - question.at_s) * 1000, 1)
            self.history.add(message)
            self._emit("mt_complete", message)
        self._report(pdu, message_id, piece.text, parties)
        form = self.faults.take("odd_message_id", parties)
        return odd.MESSAGE_IDS[form["form"]](message_id) if form else message_id

    def answered(self, delivery: _Delivery, status: int) -> None:
        if delivery.done:  # the second answer to a duplicated deliver_sm
            pass
        elif status == consts.SMPP_ESME_ROK:
            delivery.done = True
            if delivery.message is not None:
                self._acknowledged(delivery.message)
        elif status in TEMPORARY:
            if delivery.message is not None:
                delivery.message.status = pdus.status_name(status)
            self._retry(delivery)
        else:
            self._give_up(delivery, "refused", pdus.status_name(status))
        self._forward_all()

    def unanswered(self, delivery: _Delivery) -> None:
        if not delivery.done:
            if delivery.message is not None:
                delivery.message.status = "no response"
            self._retry(delivery)
        self._forward_all()

    def lost(self, session: Session, deliveries: list[_Delivery]) -> None:
        del self.sessions[session.link]
        if session.bind_type:
            self._emit("link_down", self._link(session))
        for delivery in reversed(deliveries):
            self._requeue(delivery)

    def traced(
        self, session: Session, direction: Literal["in", "out"], frame: bytes, parties: Parties
    ) -> None:
        now_s = self._clock.now_s()
        self._emit(
            "pdu", self.traces.add(now_s, direction, (session.link, session.system_id), parties, frame)
        )

    # Store and forward

    def _forward_all(self) -> None:
        """A place in a window is free, and it is anybody's."""
        for service in list(self._waiting):
            self._forward(service)

    def _forward(self, service: str) -> None:
        """Deliver what waits for a service while a receiver has room in its window."""
        waiting = self._waiting.get(service)
        while waiting:
            session = self._receiver(service)
            if session is None:
                return
            delivery = waiting.popleft()
            message = delivery.message
            if self._clock.now_s() >= delivery.expires_s:
                self._give_up(delivery, "expired", None)
            elif not delivery.done:
                twice = message is not None and self.faults.take("duplicate_deliver", delivery.parties)
                times = 2 if twice else 1
                for _ in range(times):
                    session.deliver(delivery)
                if message is not None:
                    message.attempts += times
                    self._emit("mo_attempted", message)
        if self._waiting.get(service) is waiting:  # an observer may have begun another
            self._waiting.pop(service, None)

    def _receiver(self, service: str) -> Session | None:
        """The receiver for a service with the most room, in turns where it is the same; None while there is
        none.
        """
        route = self.rules.routes.get(service)
        able = [
            session
            for session in self.sessions.values()
            if session.receives
            and session.in_flight < self.rules.window
            and (session.system_id == route if route else _in_range(service, session.address_range))
        ]
        chosen = min(able, key=lambda session: session.in_flight, default=None)
        if chosen is not None:  # `min` takes the first: this one is now the last
            self.sessions[chosen.link] = self.sessions.pop(chosen.link)
        return chosen

    def _retry(self, delivery: _Delivery) -> None:
        self._clock.call_later(self.rules.retry_s, lambda: self._requeue(delivery))

    def _requeue(self, *deliveries: _Delivery) -> None:
        """To the front of their queue: they are older than what waits there."""
        for delivery in deliveries:
            if not delivery.done:
                service = delivery.parties.service or ""
                self._waiting.setdefault(service, deque()).appendleft(delivery)
                self._forward(service)

    def _acknowledged(self, message: Message) -> None:
        message.parts_acknowledged += 1
        if message.parts_acknowledged == message.parts and message.state == "queued":
            message.state = "acknowledged"
            message.acknowledged_ms = round((self._clock.now_s() - message.at_s) * 1000, 1)
            self._emit("mo_acknowledged", message)

    def _give_up(self, delivery: _Delivery, state: Literal["refused", "expired"], status: str | None) -> None:
        delivery.done = True
        if delivery.message is not None:
            delivery.message.state = state
            delivery.message.status = status or delivery.message.status
            self._emit(f"mo_{state}", delivery.message)

    def _report(self, pdu: Pdu, message_id: str, text: str, parties: Parties) -> None:
        """Send the receipt that was asked for: at once, later, twice or never, as the orders have it."""
        take = self.faults.take
        if not pdu.registered_delivery or pdu.esm_class & receipts.RECEIPT:
            return
        state = take("receipt_state", parties)
        report = receipts.Report(message_id, state["form"] if state else "DELIVRD", self._clock.now_s(), text)
        if not receipts.wanted(pdu.registered_delivery, report.state) or take("no_receipt", parties):
            return
        form, late = take("odd_receipt", parties), take("late_receipt", parties)
        fields = receipts.fields_of(pdu, report, form["form"] if form else None)
        owed = [
            _Delivery(fields, parties, report.at_s + self.rules.validity_s, None)
            for _ in range(2 if take("repeat_receipt", parties) else 1)
        ]
        if take("early_receipt", parties):
            self._requeue(*owed)
        else:
            delay_s = late["seconds"] if late else self.rules.receipt_delay_s
            self._clock.call_later(delay_s, lambda: self._requeue(*owed))

    def _next_id(self, direction: str) -> str:
        """`mo-12` is ours alone; a message_id goes to the ESME and is plain hex."""
        self._messages += 1
        return f"mo-{self._messages}" if direction == "mo" else f"{self._run}{self._messages:06x}"

    def _link(self, session: Session) -> Link:
        version = f"{session.version >> 4}.{session.version & 0x0F}"
        bind_type = session.bind_type or ""
        return Link(session.link, session.system_id, bind_type, version, session.since_s, session.in_flight)

    def _emit(self, kind: str, body: Body) -> None:
        self._observe(Event(kind, self._clock.now_s(), body))


def _in_range(service: str, address_range: str) -> bool:
    """Whether a receiver's address_range covers a service number; one that is no regular expression covers
    nothing.
    """
    if not address_range:
        return True
    try:
        return re.search(address_range, service) is not None
    except re.error:
        return False
