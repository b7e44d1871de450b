"""What becomes of requests that carry no subscriber's text."""

from typing import Any

import pytest

from gateway.flow.intake import Line
from gateway.links.receiving import Receiving
from gateway.smpp import pdu as p
from gateway.smpp.constants import CommandStatus
from gateway.sms.alphabets import Alphabet
from tests.flow.harness import PLAIN

LINE = Line("smsc-1", PLAIN, Alphabet.GSM)


class Wire:
    """Keeps the responses given to it."""

    def __init__(self) -> None:
        self.statuses: list[int] = []

    def respond(self, _request: p.Pdu, response: p.Pdu) -> None:
        self.statuses.append(response.command_status)


@pytest.mark.parametrize(
    ("request_", "statuses", "kind"),
    [
        (p.AlertNotification(), [], "notice"),
        (p.DeliverSm(esm_class=0x04, short_message=b"id:1 stat:DELIVRD"), [0], "receipt"),
        (p.DeliverSm(esm_class=0x20, short_message=b"id:1 stat:ENROUTE"), [0], "receipt"),
        (p.DeliverSm(esm_class=0x08, short_message=b"CXMYD"), [0], "other"),
        (p.QuerySm(message_id="1"), [CommandStatus.ESME_RINVCMDID], None),
    ],
)
def test_neither_answered_nor_queued(request_: p.Pdu, statuses: list[int], kind: str | None) -> None:
    """A receipt is acknowledged, a notice is not (it has no response), what we do not offer is refused."""
    wire: Any = Wire()
    refused: list[tuple[str, str]] = []
    nothing: Any = None  # none of these gets as far as the flow
    receiving = Receiving(
        intake=nothing,
        pipeline=nothing,
        wall=lambda: 0.0,
        on_refused=lambda route, what: refused.append((route, what)),
        on_park=nothing,
        message_id=lambda: "1",
    )
    receiving.received(wire, request_, LINE, park_first=False)
    assert wire.statuses == statuses
    assert refused == ([("smsc-1", kind)] if kind else [])
