"""The flow's `Outbox`: which connections an answer can leave by, in which parts, and what its responses
mean.

Order per subscriber: the flow begins with his next answer when this one has ended, and its parts leave one
after the other, each when the SMSC has accepted the one before. So whatever is throttled, lost or slow, no
two requests of a subscriber are under way at a time, and none overtakes another. Others' fill the window.
"""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gateway.flow.messages import ACCEPTED, Mt, Outcome, Sending
from gateway.links.connection import Connection
from gateway.links.errors import LostError, OverfullError, TooLateError, UnsentError
from gateway.smpp.codec import destined, sm_template
from gateway.smpp.constants import CommandStatus, Version, status_name
from gateway.smpp.errors import Unencodable
from gateway.smpp.pdu import Address, DeliverSm, MessageResp, Pdu, SubmitSm
from gateway.smpp.throttle import THROTTLED
from gateway.sms.segments import Part, Style, segment

#: Not now, but the same request may pass later (3.4, 5.1.3); every other refusal is for good.
TEMPORARY = frozenset(
    {
        int(CommandStatus.ESME_RSYSERR),
        int(CommandStatus.ESME_RSUBMITFAIL),
        int(CommandStatus.ESME_RX_T_APPN),
        int(CommandStatus.ESME_RINVBNDSTS),
    }
)
#: A part that the SMSC throttles is sent again so often before the whole message goes to the park.
THROTTLED_TRIES = 8
#: Links that end before a request has left by them, until the message goes to the park.
UNSENT_TRIES = 4
NO_LINK = Outcome(Sending.LATER, "no_link")
NO_RESPONSE = Outcome(Sending.LATER, "no_response")
_UNSENT = Outcome(Sending.LATER, "unsent")
_UNENCODABLE = Outcome(Sending.REFUSED, "unencodable")
_UNANSWERED: dict[type[Exception], Outcome] = {
    UnsentError: _UNSENT,
    LostError: NO_RESPONSE,
    OverfullError: NO_LINK,
    TooLateError: Outcome(Sending.LATER, "expired"),
}
#: Answers of one part that a route keeps encoded.
KEPT = 4096

#: A part's octets before and behind its recipient.
Encoded = tuple[bytes, bytes]


@dataclass(slots=True)
class Route:
    """`receipts`: 1 where each part asks for one, of success and failure (5.2.17)."""

    name: str
    request: type[SubmitSm] | type[DeliverSm]
    style: Style
    others: tuple[str, ...]
    receipts: int
    command_id: int
    connections: list[Connection] = field(default_factory=list)
    turn: int = 0
    kept: dict[tuple[str, Address, int], Encoded] = field(default_factory=dict)

    def choose(self) -> Connection | None:
        """The less loaded of two, in turn: as good as the least loaded of all (Mitzenmacher, The Power of Two
        Choices, 2001), at a cost that does not grow with the binds.
        """
        connections = self.connections
        count = len(connections)
        if count == 1:
            return connections[0] if connections[0].usable else None
        if count > 1:
            self.turn = at = (self.turn + 1) % count
            one, other = connections[at], connections[(at + (count >> 1)) % count]
            if one.usable and other.usable:
                return one if one.load <= other.load else other
        usable = [connection for connection in connections if connection.usable]
        return min(usable, key=_load) if usable else None

    def encoded(self, part: Part, source: Address, version: int) -> Encoded:
        return sm_template(
            self.request(
                source=source,
                esm_class=part.esm_class,
                registered_delivery=self.receipts,
                data_coding=part.data_coding,
                short_message=part.short_message,
                tlvs=part.tlvs,
            ),
            version,
        )


class Routes:
    """Connections by route. The links add theirs while these are bound and may transmit."""

    def __init__(
        self,
        on_status: Callable[[str, str], None],
        on_route_up: Callable[[str], None],
        on_accepted: Callable[[str, str], None],
    ) -> None:
        self._routes: dict[str, Route] = {}
        self._reference = secrets.randbelow(1 << 16)  # another in each process: a phone hears of several
        self.on_status = on_status
        self._on_route_up = on_route_up
        self.on_accepted = on_accepted

    def register(
        self,
        route: str,
        request: type[SubmitSm] | type[DeliverSm],
        style: Style,
        others: Sequence[str] = (),
        *,
        receipts: bool = False,
    ) -> None:
        """`route` sends with `request`, texts cut in its `style`; while it is down, `others` (of the same
        carrier) serve instead. `receipts`: each part asks for one.
        """
        self._routes[route] = Route(
            route, request, style, tuple(others), int(receipts), int(request.command_id)
        )

    def add(self, route: str, connection: Connection) -> None:
        self._routes[route].connections.append(connection)
        self._on_route_up(route)

    def remove(self, route: str, connection: Connection) -> None:
        connections = self._routes[route].connections
        if connection in connections:
            connections.remove(connection)

    def can_send(self, route: str) -> bool:
        return self.choose(route) is not None

    def choose(self, route: str) -> tuple[Route, Connection] | None:
        """A connection of the route with little to do, else of another link of the same carrier."""
        own = self._routes.get(route)
        if own is None:
            return None
        for one in (own, *map(self._routes.__getitem__, own.others)) if own.others else (own,):
            connection = one.choose()
            if connection is not None:
                return one, connection
        return None

    def send_then(self, route: str, mt: Mt, then: Callable[[Outcome], None]) -> None:
        _Leaving(self, route, mt, then).begin()

    def encoded(self, mt: Mt, route: Route, connection: Connection) -> Sequence[Encoded]:
        """The parts of the answer. Raises Unencodable."""
        version = connection.session.version
        key = mt.text, mt.source, version
        kept = route.kept.get(key)
        if kept is not None:
            return (kept,)
        style = route.style if version >= Version.V3_4 else route.style.without_tlvs
        parts = segment(mt.text, self._reference + 1, style)
        encoded = [route.encoded(part, mt.source, version) for part in parts]
        if len(parts) > 1:  # parts are told apart by their reference, so each answer has its own
            self._reference += 1
        else:
            if len(route.kept) >= KEPT:
                route.kept.clear()
            route.kept[key] = encoded[0]
        return encoded


class _Leaving:
    """One answer on its way out: a part leaves when the one before it was accepted."""

    __slots__ = (
        "_at", "_connection", "_mt", "_parts", "_route", "_routes", "_then", "_throttled", "_unsent",
        "_wanted",
    )  # fmt: skip
    _route: Route
    _connection: Connection
    _parts: Sequence[Encoded]

    def __init__(self, routes: Routes, wanted: str, mt: Mt, then: Callable[[Outcome], None]) -> None:
        self._routes = routes
        self._wanted = wanted
        self._mt = mt
        self._then = then
        self._at = 0  # of the parts
        self._throttled = 0  # times
        self._unsent = 0

    def begin(self) -> None:
        chosen = self._routes.choose(self._wanted)
        if chosen is None:
            self._then(NO_LINK)
            return
        self._route, self._connection = chosen
        try:
            self._parts = self._routes.encoded(self._mt, *chosen)
        except Unencodable:
            self._then(_UNENCODABLE)
            return
        self._request()

    def _request(self) -> None:
        route, mt = self._route, self._mt
        try:
            body = destined(self._parts[self._at], mt.destination)
        except Unencodable:
            self._then(_UNENCODABLE)
            return
        self._connection.request(
            body, route.command_id, self._answered, mt.not_after_s, throttled=self._throttled > 0
        )

    def _answered(self, response: Pdu | Exception) -> None:
        if isinstance(response, Exception):
            self._failed(response)
            return
        route, routes, status = self._route, self._routes, response.command_status
        if status == 0:
            routes.on_status(route.name, "ESME_ROK")
            if route.receipts and isinstance(response, MessageResp):
                routes.on_accepted(route.name, response.message_id)
            self._at += 1
            if self._at == len(self._parts):
                self._then(ACCEPTED)
            else:
                self._throttled = 0
                self._request()
            return
        word = status_name(status)
        routes.on_status(route.name, word)
        if status not in THROTTLED:
            self._then(Outcome(Sending.LATER if status in TEMPORARY else Sending.REFUSED, word))
            return
        # The link pauses as a whole; this part goes before what has not been sent yet.
        self._throttled += 1
        if self._throttled == THROTTLED_TRIES:
            self._then(Outcome(Sending.LATER, "throttled"))
        else:
            self._request()

    def _failed(self, error: Exception) -> None:
        outcome = _UNANSWERED.get(type(error)) or Outcome(Sending.LATER, type(error).__name__)
        if outcome is NO_RESPONSE:
            self._routes.on_status(self._route.name, outcome.reason)
        if outcome is not _UNSENT:
            self._then(outcome)
            return
        self._unsent += 1
        # Another link would cut it otherwise: only what has not begun is begun there at once.
        if self._at or self._unsent == UNSENT_TRIES:
            self._then(NO_LINK)
        else:
            self._throttled = 0
            self.begin()


def _load(connection: Connection) -> int:
    return connection.load
