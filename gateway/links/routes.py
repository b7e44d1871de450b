"""The flow's `Outbox`: which connections an answer can leave by, in which parts, and what its responses
mean.

Order per subscriber: the flow begins with his next answer when this one has ended, and its parts leave one
after the other, each when the SMSC has accepted the one before. So whatever is throttled, lost or slow, no
two requests of a subscriber are under way at a time, and none overtakes another. Others' fill the window.
"""

import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache

from gateway.flow.messages import ACCEPTED, Mt, Outcome, Sending
from gateway.links.connection import Connection, LostError, OverfullError, TooLateError, UnsentError
from gateway.smpp.constants import CommandStatus, Version, status_name
from gateway.smpp.errors import Unencodable
from gateway.smpp.pdu import DeliverSm, MessageResp, Pdu, SubmitSm
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
_UNANSWERED = {
    UnsentError: _UNSENT,
    LostError: NO_RESPONSE,
    OverfullError: NO_LINK,
    TooLateError: Outcome(Sending.LATER, "expired"),
    Unencodable: Outcome(Sending.REFUSED, "unencodable"),
}


class Routes:
    """Connections by route. The links add theirs while these are bound and may transmit."""

    def __init__(
        self,
        on_status: Callable[[str, str], None],
        on_route_up: Callable[[str], None],
        on_accepted: Callable[[str, str], None],
    ) -> None:
        self._connections: dict[str, list[Connection]] = {}
        self._request_class: dict[str, type[SubmitSm] | type[DeliverSm]] = {}
        self._style: dict[str, Style] = {}
        self._receipts: dict[str, int] = {}
        self._same_carrier: dict[str, tuple[str, ...]] = {}
        self._reference = secrets.randbelow(1 << 16)  # another in each process: a phone hears of several
        self._on_status = on_status
        self._on_route_up = on_route_up
        self._on_accepted = on_accepted

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
        self._receipts[route] = int(receipts)
        self._connections[route] = []
        self._request_class[route] = request
        self._style[route] = style
        self._same_carrier[route] = tuple(others)

    def add(self, route: str, connection: Connection) -> None:
        self._connections[route].append(connection)
        self._on_route_up(route)

    def remove(self, route: str, connection: Connection) -> None:
        if connection in self._connections[route]:
            self._connections[route].remove(connection)

    def can_send(self, route: str) -> bool:
        return self._choose(route) is not None

    def _choose(self, route: str) -> tuple[str, Connection] | None:
        """The least loaded connection of the route, else of another link of the same carrier."""
        for name in (route, *self._same_carrier.get(route, ())):
            connections = self._connections.get(name, ())
            if len(connections) == 1 and connections[0].usable:
                return name, connections[0]
            usable = [c for c in connections if c.usable]
            if usable:
                return name, min(usable, key=_load)
        return None

    async def send(self, route: str, mt: Mt) -> Outcome:
        for _ in range(UNSENT_TRIES):
            chosen = self._choose(route)
            if chosen is None:
                break
            outcome = await self._send_by(*chosen, mt)
            if outcome is not _UNSENT:
                return outcome
        return NO_LINK

    async def _send_by(self, name: str, connection: Connection, mt: Mt) -> Outcome:
        outcome = ACCEPTED
        for index, part in enumerate(self._parts(mt.text, name, connection)):
            outcome = await self._part(name, connection, mt, part)
            if outcome.sending is not Sending.ACCEPTED:
                # Another link would cut it otherwise: only what has not begun is begun there at once.
                return NO_LINK if outcome is _UNSENT and index else outcome
        return outcome

    def _parts(self, text: str, name: str, connection: Connection) -> tuple[Part, ...]:
        style = self._style[name]
        if connection.session.version < Version.V3_4:
            style = style.without_tlvs
        parts = _cut(text, style)
        if len(parts) > 1:  # parts are told apart by their reference, so each answer has its own
            self._reference += 1
            parts = segment(text, self._reference, style)
        return parts

    async def _part(self, name: str, connection: Connection, mt: Mt, part: Part) -> Outcome:
        for number in range(THROTTLED_TRIES):
            try:
                response: Pdu = await connection.request(
                    self._request_class[name](
                        source=mt.source,
                        destination=mt.destination,
                        esm_class=part.esm_class,
                        registered_delivery=self._receipts[name],  # 1: of success and failure (5.2.17)
                        data_coding=part.data_coding,
                        short_message=part.short_message,
                        tlvs=part.tlvs,
                    ),
                    mt.not_after_s,
                    throttled=number > 0,
                )
            except tuple(_UNANSWERED) as error:
                outcome = _UNANSWERED[type(error)]
                if outcome is NO_RESPONSE:
                    self._on_status(name, outcome.reason)
                return outcome
            status = response.command_status
            if status == 0:
                self._on_status(name, "ESME_ROK")
                if self._receipts[name] and isinstance(response, MessageResp):
                    self._on_accepted(name, response.message_id)
                return ACCEPTED
            word = status_name(status)
            self._on_status(name, word)
            if status not in THROTTLED:
                return Outcome(Sending.LATER if status in TEMPORARY else Sending.REFUSED, word)
            # The link pauses as a whole; this part goes before what has not been sent yet.
        return Outcome(Sending.LATER, "throttled")


@lru_cache(4096)
def _cut(text: str, style: Style) -> tuple[Part, ...]:
    """Prompts and short answers are the same for very many."""
    return segment(text, 0, style)


def _load(connection: Connection) -> int:
    return connection.load
