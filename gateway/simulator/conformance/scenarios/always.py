"""Rules that hold always: judged over all that the ESME sent in the whole run."""

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.record import Pdu, readable
from gateway.simulator.conformance.scenario import scenario
from gateway.simulator.conformance.verdicts import Failed, Level, NotApplicable
from gateway.simulator.conformance.wellformed import fault
from gateway.simulator.conformance.wire import Received

GROUP = "always"


def _sent(lab: Lab) -> list[tuple[Pdu, Received]]:
    """All PDUs of the ESME."""
    return [(pdu, Received(pdu.octets, pdu.at_s)) for pdu in lab.record.timeline() if pdu.direction == "in"]


def _fail(expected: str, wrong: list[tuple[Pdu, str]]) -> None:
    """Fail with the first of what is wrong, and how many there are."""
    if wrong:
        pdu, why = wrong[0]
        more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        raise Failed(expected, f"{why} in {pdu.scenario}: {readable(pdu.octets)}{more}")


@scenario(GROUP, "SMPP 3.4, 3 and 4", last=True)
async def every_pdu_is_well_formed(lab: Lab) -> None:
    """Every PDU that the ESME sends has a known command_id and a body that its fields fill exactly."""
    wrong = [(pdu, why) for pdu, received in _sent(lab) if (why := fault(received))]
    _fail("well-formed PDUs only", wrong)


@scenario(GROUP, "SMPP 3.4, 5.1.3", last=True)
async def requests_have_no_status(lab: Lab) -> None:
    """command_status is 0 in every request."""
    wrong = [
        (pdu, f"command_status 0x{received.status:08X}")
        for pdu, received in _sent(lab)
        if not received.is_response and received.status
    ]
    _fail("command_status 0 in requests", wrong)


@scenario(GROUP, "SMPP 3.4, 5.1.4", last=True)
async def sequence_numbers_exist(lab: Lab) -> None:
    """The ESME's own sequence numbers are 1 to 0x7FFFFFFF."""
    wrong = [
        (pdu, f"sequence_number 0x{received.sequence:08X}")
        for pdu, received in _sent(lab)
        if not received.is_response and not 0 < received.sequence <= wire.MAX_SEQUENCE
    ]
    _fail("sequence numbers of 1 to 0x7FFFFFFF", wrong)


@scenario(GROUP, "SMPP 3.4, 3.2 and 5.1.4", last=True)
async def sequence_numbers_are_unique(lab: Lab) -> None:
    """No request has the sequence_number of another that still waits for its response on the connection."""
    waiting: set[tuple[int, int]] = set()
    wrong = []
    for pdu in lab.record.timeline():
        received = Received(pdu.octets, pdu.at_s)
        if pdu.direction == "in" and not received.is_response:
            if (pdu.connection, received.sequence) in waiting:
                wrong.append((pdu, f"#{received.sequence} is still in use"))
            waiting.add((pdu.connection, received.sequence))
        elif pdu.direction == "out" and received.is_response:
            waiting.discard((pdu.connection, received.sequence))
    _fail("a number of its own for every request in flight", wrong)


@scenario(GROUP, "SMPP 3.4, 5.1.4", level=Level.SHOULD, last=True)
async def sequence_numbers_ascend(lab: Lab) -> None:
    """The numbers of the ESME's requests rise by one from request to request."""
    latest: dict[int, int] = {}
    wrong = []
    for pdu, received in _sent(lab):
        if received.is_response:
            continue
        before = latest.get(pdu.connection)
        if before is not None and received.sequence != before % wire.MAX_SEQUENCE + 1:
            wrong.append((pdu, f"#{received.sequence} came after #{before}"))
        latest[pdu.connection] = received.sequence
    _fail("sequence numbers that rise by one", wrong)


@scenario(GROUP, "SMPP 3.4, 3.2 and 4.3", last=True)
async def one_response_to_each_request(lab: Lab) -> None:
    """Every response of the ESME has the number of a request of ours and is of its kind, or a generic_nack;
    and no request is answered twice.
    """
    waiting: dict[tuple[int, int], list[str]] = {}
    wrong = []
    for pdu in lab.record.timeline():
        received = Received(pdu.octets, pdu.at_s)
        asked = waiting.setdefault((pdu.connection, received.sequence), [])
        if pdu.direction == "out":
            asked.append(received.name)
        elif received.is_response and (received.name, received.sequence) != ("generic_nack", 0):
            request = next((name for name in asked if _answers(received.name, name)), None)
            if request is None:
                wrong.append((pdu, "it answers nothing that was asked"))
            else:
                asked.remove(request)
    _fail("a response to each request, and none else", wrong)


def _answers(response: str, request: str) -> bool:
    return response in ("generic_nack", f"{request}_resp")


@scenario(GROUP, "SMPP 3.4, 2.2 and 2.3", last=True)
async def requests_only_when_bound(lab: Lab) -> None:
    """Before its bind is accepted the ESME sends no request but the bind; after unbind_resp it sends none
    at all; and one that is bound as receiver submits nothing.
    """
    wrong = []
    state: dict[int, str] = {}
    for pdu in lab.record.timeline():
        received = Received(pdu.octets, pdu.at_s)
        name = received.name
        now = state.get(pdu.connection, "open")
        if pdu.direction == "out":
            if name.startswith("bind_") and name.endswith("_resp") and not received.status:
                state[pdu.connection] = name
        elif name == "unbind_resp":
            state[pdu.connection] = "unbound"
        elif not received.is_response and name not in wire.BIND_TYPES:
            if now in ("open", "unbound") and name not in ("enquire_link", "unbind"):
                wrong.append((pdu, f"{received} on a connection that is {now}"))
            elif now == "bind_receiver_resp" and name in ("submit_sm", "data_sm", "submit_multi"):
                wrong.append((pdu, f"{received} on a bind that only receives"))
    _fail("requests that the session's state allows", wrong)


@scenario(GROUP, "the ESME's own configuration", needs=["window"], last=True)
async def window_kept(lab: Lab) -> None:
    """Never more of the ESME's submit_sm wait for their responses on a connection than its window has."""
    waiting: dict[int, dict[int, float]] = {}
    most, wrong = 0, []
    for pdu in lab.record.timeline():
        received = Received(pdu.octets, pdu.at_s)
        open_now = waiting.setdefault(pdu.connection, {})
        if pdu.direction == "in" and received.name in ("submit_sm", "data_sm"):
            too_old_s = pdu.at_s - lab.timing.response_timeout_s * 0.9
            for number in [number for number, at_s in open_now.items() if at_s < too_old_s]:
                del open_now[number]  # the ESME has given it up
            open_now[received.sequence] = pdu.at_s
            most = max(most, len(open_now))
            if len(open_now) > lab.options.window:
                wrong.append((pdu, f"{len(open_now)} in flight"))
        elif pdu.direction == "out" and received.is_response:
            open_now.pop(received.sequence, None)
    if not most:
        raise NotApplicable("the ESME submitted nothing")
    _fail(f"at most {lab.options.window} in flight", wrong)
