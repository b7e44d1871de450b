"""Judgements that several scenarios share; each raises `Failed` with what was expected and what came."""

from gateway.simulator import pdus
from gateway.simulator.conformance import wire
from gateway.simulator.conformance.verdicts import Failed
from gateway.simulator.conformance.wire import Received


def expect_answer(answer: Received, command: str, *statuses: int) -> None:
    """The answer is this response, with one of these statuses where any is named."""
    if answer.name != command or (statuses and answer.status not in statuses):
        named = f" with {wire.statuses(*statuses)}" if statuses else ""
        raise Failed(f"{command}{named}", f"{answer} came")


def expect_refusal(answer: Received, *commands: str, statuses: tuple[int, ...] = ()) -> None:
    """The answer is one of these responses and its status an error, one of `statuses` where given."""
    refused = answer.name in commands and answer.status != wire.ROK
    if not refused or (statuses and answer.status not in statuses):
        named = wire.statuses(*statuses) if statuses else "an error status"
        raise Failed(f"{' or '.join(commands)} with {named}", f"{answer} came")


def wellformed(received: Received) -> str:
    """What is wrong with a PDU of the ESME; empty when nothing is."""
    if received.name.startswith("command "):
        return "an unknown command_id"
    try:
        received.decoded()
    except pdus.PduError as error:
        return error.why
    return ""


def require(condition: object, expected: str, came: str) -> None:
    """Fail unless the condition holds."""
    if not condition:
        raise Failed(expected, came)
