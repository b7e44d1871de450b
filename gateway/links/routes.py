"""The flow's `Outbox`: which connections an answer can leave by, in which parts, and what its responses
mean.
"""

import asyncio
import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache

from gateway.flow.messages import ACCEPTED, Mt, Outcome, Sending
from gateway.links.connection import Connection, LostError, OverfullError, TooLateError
from gateway.smpp.constants import CommandStatus, status_name
from gateway.smpp.pdu import DeliverSm, Pdu, SubmitSm
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


class Routes:
    """Connections by route. The links add theirs while these are bound and may transmit."""

    def __init__(self, on_status: Callable[[str, str], None], on_route_up: Callable[[str], None]) -> None:
        self._connections: dict[str, list[Connection]] = {}
        self._request_class: dict[str, type[SubmitSm] | type[DeliverSm]] = {}
        self._style: dict[str, Style] = {}
        self._same_carrier: dict[str, tuple[str, ...]] = {}
        self._reference = secrets.randbelow(1 << 16)  # another in each process: a phone hears of several
        self._on_status = on_status
        self._on_route_up = on_route_up

    def register(
        self,
        route: str,
        request: type[SubmitSm] | type[DeliverSm],
        style: Style,
        others: Sequence[str] = (),
    ) -> None:
        """`route` sends with `request`, texts cut in its `style`; while it is down, `others` (of the same
        carrier) serve instead.
        """
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
        chosen = self._choose(route)
        if chosen is None:
            return Outcome(Sending.LATER, "no_link")
        name, connection = chosen
        request = self._request_class[name]
        parts = self._parts(mt.text, self._style[name])
        if len(parts) == 1:
            return await self._part(name, connection, request, mt, parts[0])
        outcomes = await asyncio.gather(*(self._part(name, connection, request, mt, p) for p in parts))
        for sending in (Sending.REFUSED, Sending.LATER):
            for outcome in outcomes:
                if outcome.sending is sending:
                    return outcome
        return ACCEPTED

    def _parts(self, text: str, style: Style) -> tuple[Part, ...]:
        parts = _cut(text, style)
        if len(parts) > 1:  # parts are told apart by their reference, so each answer has its own
            self._reference += 1
            parts = segment(text, self._reference, style)
        return parts

    async def _part(
        self,
        name: str,
        connection: Connection,
        request: type[SubmitSm] | type[DeliverSm],
        mt: Mt,
        part: Part,
    ) -> Outcome:
        for _ in range(THROTTLED_TRIES):
            try:
                response: Pdu = await connection.request(
                    request(
                        source=mt.source,
                        destination=mt.destination,
                        esm_class=part.esm_class,
                        data_coding=part.data_coding,
                        short_message=part.short_message,
                        tlvs=part.tlvs,
                    ),
                    mt.not_after_s,
                )
            except TooLateError:
                return Outcome(Sending.LATER, "expired")
            except OverfullError:
                return Outcome(Sending.LATER, "no_link")
            except LostError:
                self._on_status(name, "no_response")
                return Outcome(Sending.LATER, "no_response")
            status = response.command_status
            if status == 0:
                self._on_status(name, "ESME_ROK")
                return ACCEPTED
            word = status_name(status)
            self._on_status(name, word)
            if status not in THROTTLED:
                return Outcome(Sending.LATER if status in TEMPORARY else Sending.REFUSED, word)
            # The connection pauses as a whole; this part waits its turn again.
        return Outcome(Sending.LATER, "throttled")


@lru_cache(4096)
def _cut(text: str, style: Style) -> tuple[Part, ...]:
    """Prompts and short answers are the same for very many."""
    return segment(text, 0, style)


def _load(connection: Connection) -> int:
    return connection.load
