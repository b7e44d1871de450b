"""SMPP 3.3, 3.4 and 5.0 with real sockets: what we offer, what we agree on, and what follows for the PDUs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.conftest import free_port
from tests.foreign.service import Service
from tests.foreign.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    RESP,
    SUBMIT_SM,
    Message,
    Pdu,
    Wire,
    bind,
    message,
    pdu,
    short_message,
)
from tests.foreign.wire_smsc import Smsc, made, section

SC_INTERFACE_VERSION = 0x0210
MESSAGE_PAYLOAD = 0x0424
SAR_TOTAL_SEGMENTS = 0x020E
UDHI = 0x40
LISTEN = """
[[listen]]
port = {port}
version = "{version}"
long_messages = "payload"
clients = [{{ system_id = "hub-{version}", password = "secret", carrier = "plain" }}]
"""


def says(version: int) -> bytes:
    """sc_interface_version."""
    return SC_INTERFACE_VERSION.to_bytes(2) + b"\0\x01" + bytes([version])


class Peers(NamedTuple):
    old: Smsc
    new: Smsc
    silent: Smsc
    ports: dict[str, int]  # of listeners, by the highest version they accept


@pytest.fixture(scope="module")
def peers(service: Service) -> Iterator[Peers]:
    """One gateway: links to SMSCs of several versions, and two listeners."""
    with made() as make:
        peers = Peers(make(), make(), make(), {"3.4": free_port(), "5.0": free_port()})
        peers.new.bind_tlvs = says(0x50)
        pair = 'version = "3.3"\nbind = "transmitter+receiver"\nlong_messages = "sar"'
        sections = (
            section("of-3.3", peers.old.port, pair),
            section("of-5.0", peers.new.port, 'version = "5.0"\nlong_messages = "sar"'),
            section("of-no-version", peers.silent.port, 'version = "5.0"\nlong_messages = "sar"'),
            *(LISTEN.format(version=version, port=port) for version, port in peers.ports.items()),
        )
        with service.gateway("".join(sections) + '[carrier.plain]\nnumbers = ["12345"]\n'):
            yield peers


def interface_version(heard: Pdu) -> int:
    """It stands before addr_ton, addr_npi and an empty address_range."""
    return heard.body[-4]


def answers(smsc: Smsc, number: str) -> list[Message]:
    """The parts of the answer to a question of `number`, as many as they say they are."""
    smsc.ask(number)
    smsc.until(lambda: smsc.submits)
    first = short_message(smsc.submits[0][1])
    told = first.tlvs.get(SAR_TOTAL_SEGMENTS)
    total = told[0] if told else first.text[4]
    smsc.until(lambda: len(smsc.submits) >= total)
    return [short_message(submit) for _, submit, _ in smsc.submits]


def test_a_3_3_smsc_is_bound_with_a_pair_and_sent_no_tlvs(service: Service, peers: Peers) -> None:
    """`long_messages = "sar"` needs TLVs: a header stands in for it."""
    smsc = peers.old
    assert sorted(heard.command_id for _, heard in smsc.binds) == [BIND_RECEIVER, BIND_TRANSMITTER]
    assert {interface_version(heard) for _, heard in smsc.binds} == {0x33}
    parts = answers(smsc, service.traveller().msisdn)
    assert len(parts) > 1
    assert all(part.esm_class == UDHI and not part.tlvs for part in parts)
    assert all(smsc.wires[wire] == BIND_TRANSMITTER for _, _, wire in smsc.submits)


@pytest.mark.parametrize("name", ["new", "silent"])
def test_an_smsc_is_offered_5_0(service: Service, peers: Peers, name: str) -> None:
    """One that agrees and one that says nothing, which then is of 3.4: both know the TLVs of long texts."""
    smsc: Smsc = getattr(peers, name)
    assert [heard.command_id for _, heard in smsc.binds] == [BIND_TRANSCEIVER]
    assert interface_version(smsc.binds[0][1]) == 0x50
    parts = answers(smsc, service.traveller().msisdn)
    assert len(parts) > 1
    assert {(part.tlvs.get(SAR_TOTAL_SEGMENTS), part.esm_class) for part in parts} == {
        (bytes([len(parts)]), 0)
    }


@pytest.mark.parametrize(
    ("highest", "offered", "agreed"),
    [("3.4", 0x34, 0x34), ("3.4", 0x50, 0x34), ("5.0", 0x34, 0x50), ("5.0", 0x50, 0x50)],
)
def test_a_listener_says_the_highest_version_it_knows(
    peers: Peers, highest: str, offered: int, agreed: int
) -> None:
    with Wire.to(peers.ports[highest]) as wire:
        bound = wire.ask(bind(f"hub-{highest}", version=offered))
        assert (bound.command_id, bound.command_status) == (BIND_TRANSCEIVER | RESP, 0)
        assert bound.body == b"cxmyd\0" + says(agreed)


@pytest.mark.parametrize("version", [0x34, 0x50])
def test_a_client_gets_a_long_answer_in_one(service: Service, peers: Peers, version: int) -> None:
    """As message_payload, which it knows."""
    with Wire.to(peers.ports["5.0"]) as wire:
        wire.ask(bind("hub-5.0", version=version))
        who = service.traveller().msisdn
        taken = wire.ask(message(SUBMIT_SM, who, "12345", b"CXMYD", number=2))
        assert (taken.command_id, taken.command_status) == (SUBMIT_SM | RESP, 0)
        deliver = wire.receive()
        wire.send(pdu(DELIVER_SM | RESP, b"\0", number=deliver.sequence_number))
        assert MESSAGE_PAYLOAD in short_message(deliver).tlvs


@pytest.mark.parametrize("highest", ["3.4", "5.0"])
def test_a_3_3_client_gets_no_tlvs(service: Service, peers: Peers, highest: str) -> None:
    """Neither in the bind_resp nor in its answers; its message_ids have 8 hexadecimal digits at most."""
    port = peers.ports[highest]
    with Wire.to(port) as receiver, Wire.to(port) as transmitter:
        for wire, command_id in ((receiver, BIND_RECEIVER), (transmitter, BIND_TRANSMITTER)):
            bound = wire.ask(bind(f"hub-{highest}", command_id=command_id, version=0x33))
            assert (bound.command_status, bound.body) == (0, b"cxmyd\0")
        who = service.traveller().msisdn
        taken = transmitter.ask(message(SUBMIT_SM, who, "12345", b"CXMYD", number=2))
        assert taken.command_status == 0
        assert 0 < int(taken.body.rstrip(b"\0"), 16) < 1 << 32
        parts: list[Message] = []
        while not parts or len(parts) < parts[0].text[4]:
            deliver = receiver.receive()
            receiver.send(pdu(DELIVER_SM | RESP, b"\0", number=deliver.sequence_number))
            parts.append(short_message(deliver))
        assert len(parts) > 1
        assert all(part.esm_class == UDHI and not part.tlvs for part in parts)
