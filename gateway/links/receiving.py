"""What the links do with a request that carries a text: whole message or part, to the flow, and the flow's
verdict back.

Called by both roles. Invariant: every request gets exactly one response, unless its connection ended first.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from math import inf
from typing import Any

from gateway.flow.admission import Admission
from gateway.flow.intake import Incomplete, Intake, Line
from gateway.flow.messages import Mo, Verdict
from gateway.flow.pipeline import Pipeline
from gateway.links import operations
from gateway.links.connection import Connection
from gateway.smpp.constants import MAX_MESSAGE_ID_33, CommandStatus, Version
from gateway.smpp.pdu import (
    DataSm,
    DeliverSm,
    MessageResp,
    Pdu,
    Sm,
    SubmitMulti,
    SubmitMultiResp,
    SubmitSm,
)
from gateway.smpp.receipts import Kind, kind_of
from location_store.errors import StoreError

_OK, _LATER, _FULL = (
    int(status)
    for status in (CommandStatus.ESME_ROK, CommandStatus.ESME_RX_T_APPN, CommandStatus.ESME_RMSGQFUL)
)
#: Of these the session has taken no more than there was room for.
_COUNTED = (DeliverSm, SubmitSm)
Answer = Callable[[int], None]  # given the command_status


class Receiving:
    def __init__(
        self,
        *,
        intake: Intake,
        pipeline: Pipeline,
        admission: Admission,
        wall: Callable[[], float],
        on_refused: Callable[[str, str, int], None],
        on_receipt: Callable[[str, Sm | DataSm], None],
        on_park: Callable[[str], None],
        message_id: Callable[[], str],
    ) -> None:
        self._intake = intake
        self._pipeline = pipeline
        self.admission = admission
        self._wall = wall
        self._on_refused = on_refused
        self._on_receipt = on_receipt
        self._on_park = on_park
        self._message_id = message_id
        self._tasks: set[asyncio.Task[None]] = set()
        self.in_flight = 0  # messages of which something is left to do
        self.draining = False
        self.unanswered = 0  # requests that have no response yet
        self.put_off = 0  # while draining: told that we cannot take it now

    def room(self, line: Line) -> float:
        """How many messages are taken by this line now."""
        return inf if self.draining else self.admission.room(line.route)  # draining has its own word

    def turned_away(self, line: Line, count: int) -> None:
        """So many were refused for want of room."""
        self.admission.refused(line.route, count)
        self._on_refused(line.route, "overload", count)

    def received(self, connection: Connection, pdu: Pdu, line: Line, *, park_first: bool) -> None:
        """One request of a bound peer. `park_first`: the peer waits for its response before it reads our
        answer.
        """
        if type(pdu) is DeliverSm and not park_first and not self.draining and kind_of(pdu) is Kind.QUERY:
            self._take(pdu, line, _Query(self, line, connection, pdu.sequence_number), False)
            return
        if pdu.response is None:  # alert_notification: nobody waits for a word
            self._on_refused(line.route, "notice", 1)
            return
        request = pdu
        if isinstance(request, SubmitMulti):
            taken = operations.submit_sm_of(request, self._intake.is_ours)
            if isinstance(taken, CommandStatus):
                connection.respond(request, _response(request, taken, ""))
                return
            pdu = taken
        if not isinstance(pdu, Sm | DataSm):
            connection.respond(pdu, operations.refusal(pdu))
            return

        answer = partial(self._respond, connection, request, pdu, park_first)
        kind = kind_of(pdu)
        if kind is not Kind.QUERY:
            self._on_refused(line.route, kind.name.lower(), 1)
            answer(_OK)
            if kind is Kind.RECEIPT:
                self._on_receipt(line.route, pdu)
        elif self.draining:
            self.put_off += 1
            answer(_LATER)
        elif not isinstance(request, _COUNTED) and self.admission.room(line.route) <= 0:
            self.turned_away(line, 1)
            answer(_FULL)
        else:
            self._take(pdu, line, _Asked(self, line, answer), park_first)

    def _respond(
        self, connection: Connection, request: Pdu, pdu: Sm | DataSm, park_first: bool, status: int
    ) -> None:
        message_id = self._message_id() if park_first and status == _OK else ""
        if connection.session.version < Version.V3_4:
            message_id = message_id[-MAX_MESSAGE_ID_33:]  # what counts up
        response = _response(request, status, message_id)
        if status == _OK and isinstance(request, SubmitMulti) and isinstance(response, SubmitMultiResp):
            response.unsuccess = operations.unsuccessful(request, pdu.destination)
        connection.respond(request, response)

    def _take(self, pdu: Sm | DataSm, line: Line, taken: "_Taken", park_first: bool) -> None:
        mo = self._intake.whole(pdu, line, self._wall())
        self.unanswered += 1
        self.in_flight += 1
        self.admission.began(line.route)
        if mo is None:
            self._run(taken, self._part(pdu, taken, park_first))
        elif park_first:
            self._run(taken, self._park(mo, taken))
        else:
            self._pipeline.handle(mo, taken)

    async def _part(self, pdu: Sm | DataSm, taken: "_Taken", park_first: bool) -> None:
        line = taken.line
        try:
            joined = await self._intake.joined(pdu, line, self._wall())
        except StoreError:
            self._on_refused(line.route, "part_not_kept", 1)
            taken.answer(_LATER)
            return
        if isinstance(joined, Incomplete):
            if joined is Incomplete.REFUSED:
                self._on_refused(line.route, joined.value, 1)
            taken.answer(_OK)
        elif park_first:
            await self._park(joined, taken)
        else:
            whole = _Joined(taken, asyncio.get_running_loop().create_future())
            self._pipeline.handle(joined, whole)
            await whole.ended

    async def _park(self, mo: Mo, taken: "_Taken") -> None:
        kept = await self._pipeline.accept(mo)
        taken.answer(_OK if kept else _LATER)
        self._on_park(taken.line.route)

    def _run(self, taken: "_Taken", work: Coroutine[Any, Any, None]) -> None:
        """What takes more than a message's usual way, as a task."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(lambda _task: taken.over())

    def answered(self, status: int) -> None:
        """A request has its response."""
        self.unanswered -= 1
        self.put_off += self.draining and status != _OK

    def ended(self, route: str) -> None:
        """Nothing of a message is left to do."""
        self.in_flight -= 1
        self.admission.ended(route)

    def overrun(self, route: str) -> None:
        """Too many of one subscriber are waiting."""
        self._on_refused(route, "too_many_waiting", 1)


class _Taken:
    """A message that was taken, until nothing of it is left to do."""

    __slots__ = ("_receiving", "line")

    def __init__(self, receiving: Receiving, line: Line) -> None:
        self._receiving = receiving
        self.line = line

    def respond(self, status: int) -> None:
        raise NotImplementedError

    def answer(self, status: int) -> None:
        self._receiving.answered(status)
        self.respond(status)

    def settle(self, verdict: Verdict) -> None:
        if verdict is Verdict.ACK:
            self.answer(_OK)
        elif verdict is Verdict.TEMPORARY:
            self.answer(_LATER)
        else:
            self._receiving.overrun(self.line.route)
            self.answer(_FULL)

    def over(self) -> None:
        self._receiving.ended(self.line.route)


class _Query(_Taken):
    """As nearly all are: a deliver_sm of an SMSC, whose response has a status and nothing else."""

    __slots__ = ("_connection", "_sequence_number")

    def __init__(
        self, receiving: Receiving, line: Line, connection: Connection, sequence_number: int
    ) -> None:
        super().__init__(receiving, line)
        self._connection = connection
        self._sequence_number = sequence_number

    def respond(self, status: int) -> None:
        self._connection.acknowledge(self._sequence_number, status)


class _Asked(_Taken):
    __slots__ = ("_respond",)

    def __init__(self, receiving: Receiving, line: Line, respond: Answer) -> None:
        super().__init__(receiving, line)
        self._respond = respond

    def respond(self, status: int) -> None:
        self._respond(status)


class _Joined:
    """The whole of which `last` was the last part; `ended` tells whoever waits for it."""

    __slots__ = ("_last", "ended")

    def __init__(self, last: _Taken, ended: asyncio.Future[None]) -> None:
        self._last = last
        self.ended = ended

    def settle(self, verdict: Verdict) -> None:
        self._last.settle(verdict)

    def over(self) -> None:
        self.ended.set_result(None)


def _response(request: Pdu, status: int, message_id: str) -> Pdu:
    """The response of `request`'s kind with this status."""
    response_class = request.response
    assert response_class is not None
    response = response_class(command_status=int(status))
    if message_id and isinstance(response, MessageResp):
        response.message_id = message_id
    return response
