"""tshark's SMPP dissector and smpp.pdu3 read every octet that the gateway sent in the tests of this folder.

These tests come last (conftest.py); run by themselves they judge one conversation.
"""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from smpp.pdu.pdu_encoding import PDUEncoder

from tests.conftest import free_port
from tests.foreign.recorder import Recorder, tshark
from tests.foreign.service import Service
from tests.foreign.stack import Esme, Smsc, esme, smsc

OURS = "ip.src == 10.0.0.1"
WARNING = 0x600000
SECTIONS = """
[[smsc]]
name = "judged"
port = {smsc}
system_id = "judged"
password = "secret"
carrier = "plain"
enquire_link_s = 0.5

[[listen]]
port = {listen}
clients = [{{ system_id = "hub", password = "secret", carrier = "plain" }}]
"""
MULTI = {
    "source_addr": "8613900139999",
    "dest_address": [{"destination_addr": "12345"}, {"destination_addr": "12346"}],
    "short_message": "CXMYD",
}
#: npm's commands with fields, and what the gateway answers them with, whatever the status.
REQUESTS = {
    "submit_multi": MULTI,
    "query_sm": {"message_id": "1", "source_addr": "8613900139999"},
    "cancel_sm": {"message_id": "1", "source_addr": "8613900139999", "destination_addr": "12345"},
    "replace_sm": {"message_id": "1", "source_addr": "8613900139999", "short_message": "CXMYD"},
    "data_sm": {"source_addr": "8613900139998", "destination_addr": "12345", "message_payload": "CXMYD"},
}
COMMANDS = {
    "bind_transceiver": 0x00000009,
    "submit_sm": 0x00000004,
    "deliver_sm": 0x00000005,
    "enquire_link": 0x00000015,
    "unbind": 0x00000006,
    "bind_transceiver_resp": 0x80000009,
    "submit_sm_resp": 0x80000004,
    "deliver_sm_resp": 0x80000005,
    "enquire_link_resp": 0x80000015,
    "unbind_resp": 0x80000006,
    "submit_multi_resp": 0x80000021,
    "query_sm_resp": 0x80000003,
    "cancel_sm_resp": 0x80000008,
    "replace_sm_resp": 0x80000007,
    "data_sm_resp": 0x80000103,
}
#: It has no decoder for submit_multi_resp, and does not take the message_state 0 of a refused query_sm.
NOT_BY_PDU3 = {COMMANDS["submit_multi_resp"], COMMANDS["query_sm_resp"]}


@pytest.fixture(scope="module")
def pcap(service: Service, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that was recorded so far, and a conversation with one PDU at least of each command we can send."""
    with (
        smsc("npm-smpp") as peer,
        esme("npm-smpp") as clients,
        recorder.relay(peer.port) as smsc_port,
        recorder.relay(listen := free_port(), gateway_listens=True) as listener,
        service.gateway(SECTIONS.format(smsc=smsc_port, listen=listen)),
    ):
        _with_the_smsc(service, peer)
        _with_a_client(service, clients, listener)
    file = tmp_path_factory.mktemp("judged") / "all.pcap"
    recorder.write_pcap(file)
    return file


def _with_the_smsc(service: Service, peer: Smsc) -> None:
    assert peer.ask("judged", service.traveller(), "CXMYD")
    peer.order(do="enquire", system_id="judged")
    peer.next("enquired")
    peer.next("enquiry")
    peer.order(do="unbind", system_id="judged")
    peer.next("unbound")
    for _ in range(2):
        peer.next("bound")


def _with_a_client(service: Service, clients: Esme, port: int) -> None:
    clients.bind(port, "hub", password="wrong", session="refused")
    clients.bind(port, "hub")
    assert clients.ask("hub", service.traveller(), text="CXMYD")
    for command, fields in REQUESTS.items():
        clients.order(do="send", session="hub", command=command, fields=fields)
        assert clients.next("response")["command"] == f"{command}_resp"
    clients.order(do="enquire", session="hub")
    clients.next("enquired")
    clients.unbind("hub")


def test_tshark_finds_nothing_malformed(pcap: Path, recorder: Recorder) -> None:
    """Every PDU of ours is dissected; none is malformed, none carries a warning."""
    rows = tshark(pcap, OURS, "smpp.command_id", "_ws.malformed", "_ws.expert.severity", "_ws.expert.message")
    commands = [int(command, 16) for row in rows for command in row[0].split(",") if command]
    assert len(commands) == len(recorder.pdus(ours=True))
    missing = {name for name, command_id in COMMANDS.items() if command_id not in commands}
    assert not missing
    for _, malformed, severities, message in rows:
        assert not malformed, message
        assert all(int(severity) < WARNING for severity in severities.split(",") if severity), message


def test_smpp_pdu3_decodes_what_we_send(pcap: Path, recorder: Recorder) -> None:
    """Another implementation reads every PDU of ours that it can decode at all."""
    ours = [pdu for pdu in recorder.pdus(ours=True) if int.from_bytes(pdu[4:8], "big") not in NOT_BY_PDU3]
    names = {PDUEncoder().decode(io.BytesIO(pdu)).id.name for pdu in ours}
    assert names >= {name for name, command_id in COMMANDS.items() if command_id not in NOT_BY_PDU3}
