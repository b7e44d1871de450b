"""Whether a PDU of the ESME is what the specification says it is. smpplib, strictly checked, reads most; the
few commands that it lacks are read here. Called by the scenarios.
"""

from gateway.simulator import pdus
from gateway.simulator.conformance import wire
from gateway.simulator.conformance.wire import Received

_WITHOUT_BODY = frozenset(
    {
        "enquire_link",
        "enquire_link_resp",
        "unbind",
        "unbind_resp",
        "generic_nack",
        "cancel_sm_resp",
        "replace_sm_resp",
        "cancel_broadcast_sm_resp",
    }
)
#: Commands that smpplib lacks, and the most octets of their C-octet strings (3.4, 4.5.2; 5.0, 4.6.1).
_STRINGS = {"submit_multi_resp": (65,), "broadcast_sm_resp": (65,), "query_broadcast_sm_resp": (65,)}


def fault(received: Received) -> str:
    """What is wrong with it; empty when nothing is."""
    name, body = received.name, received.frame[wire.HEADER_OCTETS :]
    if name.startswith("command "):
        return "an unknown command_id"
    if name in _WITHOUT_BODY:
        return f"a body of {len(body)} octets, where none belongs" if body else ""
    if received.is_response and not body:  # an error may come without (3.4, 4.1.2 and its like)
        return "" if received.status else "a response without its body"
    return _by_hand(name, body) if name in _STRINGS else _by_smpplib(received)


def _by_smpplib(received: Received) -> str:
    if received.name in _KNOWN_TO_SMPPLIB:
        try:
            received.decoded()
        except pdus.PduError as error:
            return error.why
    return ""


_KNOWN_TO_SMPPLIB = frozenset(
    {
        "bind_receiver",
        "bind_transmitter",
        "bind_transceiver",
        "submit_sm",
        "data_sm",
        "query_sm",
        "deliver_sm_resp",
        "data_sm_resp",
    }
)


def _by_hand(name: str, body: bytes) -> str:
    for most in _STRINGS[name]:
        end = body.find(b"\0")
        if not 0 <= end < most:
            return f"a string that does not end within {most} octets"
        body = body[end + 1 :]
    if name == "submit_multi_resp":
        if not body:
            return "no_unsuccess is missing"
        count, body = body[0], body[1:]
        for _ in range(count):  # ton, npi, address, error_status_code
            end = body.find(b"\0", 2)
            if end < 0 or len(body) < end + 5:
                return "an unsuccess_sme that is cut off"
            body = body[end + 5 :]
    while body:
        length = int.from_bytes(body[2:4], "big")
        if len(body) < 4 + length:
            return "an optional parameter that is cut off"
        body = body[4 + length :]
    return ""
