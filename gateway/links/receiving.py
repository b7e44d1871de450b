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

_STATUS = {
    Verdict.ACK: int(CommandStatus.ESME_ROK),
    Verdict.TEMPORARY: int(CommandStatus.ESME_RX_T_APPN),
    Verdict.FULL: int(CommandStatus.ESME_RMSGQFUL),
}
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
        self._ends: dict[str, Callable[[asyncio.Task[None]], None]] = {}  # by route: of a task that has ended
        self.draining = False
        self.unanswered = 0  # requests that have no response yet
        self.put_off = 0  # while draining: told that we cannot take it now

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    def room(self, line: Line) -> float:
        """How many messages are taken by this line now."""
        return inf if self.draining else self.admission.room(line.route)  # draining has its own word

    def turned_away(self, line: Line, count: int) -> None:
        """So many were refused for want of room."""
        self.admission.refused(line.route)
        self._on_refused(line.route, "overload", count)

    def received(self, connection: Connection, pdu: Pdu, line: Line, *, park_first: bool) -> None:
        """One request of a bound peer. `park_first`: the peer waits for its response before it reads our
        answer.
        """
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

        def answer(status: int) -> None:
            message_id = self._message_id() if park_first and status == 0 else ""
            if connection.session.version < Version.V3_4:
                message_id = message_id[-MAX_MESSAGE_ID_33:]  # what counts up
            response = _response(request, status, message_id)
            if status == 0 and isinstance(request, SubmitMulti) and isinstance(response, SubmitMultiResp):
                response.unsuccess = operations.unsuccessful(request, pdu.destination)
            connection.respond(request, response)

        kind = kind_of(pdu)
        if kind is not Kind.QUERY:
            self._on_refused(line.route, kind.name.lower(), 1)
            answer(CommandStatus.ESME_ROK)
            if kind is Kind.RECEIPT:
                self._on_receipt(line.route, pdu)
        elif self.draining:
            self.put_off += 1
            answer(CommandStatus.ESME_RX_T_APPN)
        elif not isinstance(request, _COUNTED) and self.admission.room(line.route) <= 0:
            self.turned_away(line, 1)
            answer(CommandStatus.ESME_RMSGQFUL)
        else:
            self._take(pdu, line, answer, park_first)

    def _take(self, pdu: Sm | DataSm, line: Line, respond: Answer, park_first: bool) -> None:
        self.unanswered += 1

        def answer(status: int) -> None:
            self.unanswered -= 1
            self.put_off += self.draining and status != 0
            respond(status)

        mo = self._intake.whole(pdu, line, self._wall())
        if mo is None:
            self._run(line.route, self._part(pdu, line, answer, park_first))
        elif park_first:
            self._run(line.route, self._park(mo, line, answer))
        else:
            self._run(line.route, self._handle(mo, line, answer))

    async def _part(self, pdu: Sm | DataSm, line: Line, answer: Answer, park_first: bool) -> None:
        try:
            joined = await self._intake.joined(pdu, line, self._wall())
        except StoreError:
            self._on_refused(line.route, "part_not_kept", 1)
            answer(CommandStatus.ESME_RX_T_APPN)
            return
        if isinstance(joined, Incomplete):
            if joined is Incomplete.REFUSED:
                self._on_refused(line.route, joined.value, 1)
            answer(CommandStatus.ESME_ROK)
        elif park_first:
            await self._park(joined, line, answer)
        else:
            await self._handle(joined, line, answer)

    def _handle(self, mo: Mo, line: Line, answer: Answer) -> Coroutine[Any, Any, None]:
        def settle(verdict: Verdict) -> None:
            if verdict is Verdict.FULL:
                self._on_refused(line.route, "too_many_waiting", 1)
            answer(_STATUS[verdict])

        return self._pipeline.handle(mo, settle)

    async def _park(self, mo: Mo, line: Line, answer: Answer) -> None:
        kept = await self._pipeline.accept(mo)
        answer(CommandStatus.ESME_ROK if kept else CommandStatus.ESME_RX_T_APPN)
        self._on_park(line.route)

    def _run(self, route: str, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        self.admission.began(route)
        ended = self._ends.get(route)
        if ended is None:
            ended = self._ends[route] = partial(self._ended, route)
        task.add_done_callback(ended)

    def _ended(self, route: str, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.admission.ended(route)


def _response(request: Pdu, status: int, message_id: str) -> Pdu:
    """The response of `request`'s kind with this status."""
    response_class = request.response
    assert response_class is not None
    response = response_class(command_status=int(status))
    if message_id and isinstance(response, MessageResp):
        response.message_id = message_id
    return response
