"""What becomes of requests that carry no subscriber's text."""

from typing import Any

import pytest

from gateway.compiled import COMPILED
from gateway.flow.admission import Admission
from gateway.flow.intake import Line
from gateway.links.receiving import Receiving
from gateway.smpp import pdu as p
from gateway.smpp.constants import CommandStatus, Version
from gateway.smpp.session import SessionConfig
from gateway.sms.alphabets import Codings
from tests.flow.harness import PLAIN

LINE = Line("smsc-1", PLAIN, Codings())
pytestmark = pytest.mark.skipif(COMPILED, reason="compiled code takes an Intake only, and no stand-in")


class Wire:
    """Keeps the responses given to it; its session has agreed on a version."""

    def __init__(self, version: Version = Version.V3_4) -> None:
        self.session = SessionConfig(version=version)
        self.statuses: list[int] = []
        self.message_ids: list[str] = []

    def respond(self, _request: p.Pdu, response: p.Pdu) -> None:
        self.statuses.append(response.command_status)
        if isinstance(response, p.MessageResp):
            self.message_ids.append(response.message_id)


def receiving_of(refused: list[tuple[str, str]]) -> Receiving:
    intake: Any = Knowing()
    nothing: Any = None  # none of these requests gets as far as the flow
    return Receiving(
        intake=intake,
        pipeline=nothing,
        wall=lambda: 0.0,
        admission=Admission(),
        on_refused=lambda route, what, _count: refused.append((route, what)),
        on_receipt=lambda _route, _pdu: None,
        on_park=nothing,
        message_id=lambda: "0190fe12345678",
    )


class Knowing:
    """Knows no number as ours."""

    def is_ours(self, _number: str) -> bool:
        return False


@pytest.mark.parametrize(
    ("request_", "statuses", "kind"),
    [
        (p.AlertNotification(), [], "notice"),
        (p.DeliverSm(esm_class=0x04, short_message=b"id:1 stat:DELIVRD"), [0], "receipt"),
        (p.DeliverSm(esm_class=0x20, short_message=b"id:1 stat:ENROUTE"), [0], "receipt"),
        (p.DeliverSm(esm_class=0x08, short_message=b"CXMYD"), [0], "other"),
        (p.QuerySm(message_id="1"), [CommandStatus.ESME_RQUERYFAIL], None),
        (p.CancelSm(message_id="1"), [CommandStatus.ESME_RCANCELFAIL], None),
        (p.ReplaceSm(message_id="1"), [CommandStatus.ESME_RREPLACEFAIL], None),
        (p.BroadcastSm(), [CommandStatus.ESME_RBCASTFAIL], None),
        (p.QueryBroadcastSm(), [CommandStatus.ESME_RBCASTQUERYFAIL], None),
        (p.CancelBroadcastSm(), [CommandStatus.ESME_RBCASTCANCELFAIL], None),
        (p.SubmitMulti(destinations=("friends",)), [CommandStatus.ESME_RINVDLNAME], None),
    ],
)
def test_neither_answered_nor_queued(request_: p.Pdu, statuses: list[int], kind: str | None) -> None:
    """A receipt is acknowledged, a notice is not (it has no response), what we do not offer is refused."""
    wire: Any = Wire()
    refused: list[tuple[str, str]] = []
    receiving_of(refused).received(wire, request_, LINE, park_first=False)
    assert wire.statuses == statuses
    assert refused == ([("smsc-1", kind)] if kind else [])


@pytest.mark.parametrize(
    ("version", "message_id"), [(Version.V3_4, "0190fe12345678"), (Version.V3_3, "12345678")]
)
def test_message_ids_of_3_3(version: Version, message_id: str) -> None:
    """A listener's client of SMPP 3.3 gets a message_id of 8 hex digits: more have no place."""
    wire: Any = Wire(version)
    receipt = p.SubmitSm(esm_class=0x04, short_message=b"id:1")
    receiving_of([]).received(wire, receipt, LINE, park_first=True)
    assert wire.message_ids == [message_id]
