"""smpplib's client binds to our listener, as a carrier's hub would in the listening role."""

from __future__ import annotations

import time
from typing import Any

import smpplib.client
import smpplib.consts as smpp
from smpplib import gsm

from tests.conftest import free_port
from tests.foreign.service import CHANGSHA, JIAN, TRIOS, Service, Subscriber

TIMEOUT_S = 15.0
SECTIONS = """
[[listen]]
port = {port}
clients = [
    {{ system_id = "mobile", password = "secret", carrier = "china-mobile", allow = ["127.0.0.1/32"] }},
    {{ system_id = "unicom", password = "secret", carrier = "china-unicom" }},
    {{ system_id = "telecom", password = "secret", carrier = "china-telecom" }},
]
"""


class Peer:
    """A bound client of smpplib: submits a text, waits for the whole answer."""

    def __init__(self, port: int, system_id: str) -> None:
        self._parts: dict[int, str] = {}
        self._total = 0
        self.statuses: list[int] = []
        self._client = smpplib.client.Client("127.0.0.1", port, timeout=1, allow_unknown_opt_params=True)
        self._client.set_message_received_handler(self._received)
        self._client.set_message_sent_handler(lambda pdu: self.statuses.append(pdu.status))
        self._client.connect()
        self._client.bind_transceiver(system_id=system_id, password="secret")

    def ask(self, subscriber: Subscriber, text: str) -> str:
        self._parts, self._total = {}, 0
        parts, data_coding, esm_class = gsm.make_parts(text)
        self._client.send_message(
            source_addr_ton=smpp.SMPP_TON_INTL,
            source_addr_npi=smpp.SMPP_NPI_ISDN,
            source_addr=subscriber.msisdn,
            dest_addr_npi=smpp.SMPP_NPI_ISDN,
            destination_addr=subscriber.service,
            short_message=parts[0],
            data_coding=data_coding,
            esm_class=esm_class,
        )
        deadline = time.monotonic() + TIMEOUT_S
        while not self._total or len(self._parts) < self._total:
            assert time.monotonic() < deadline
            self._client.read_once()
        return "".join(self._parts[index] for index in sorted(self._parts))

    def close(self) -> None:
        self._client.unbind()
        self._client.disconnect()

    def _received(self, pdu: Any) -> None:
        data, index, self._total = pdu.short_message, 1, 1
        if pdu.esm_class & smpp.SMPP_GSMFEAT_UDHI:
            self._total, index = data[4], data[5]
            data = data[1 + data[0] :]
        self._parts[index] = data.decode("utf-16-be" if pdu.data_coding == 8 else "ascii")


def test_a_peer_binds_submits_and_receives_the_answer(service: Service) -> None:
    """submit_sm is acknowledged; the prompt and the answer come as deliver_sm on the same bind."""
    port = free_port()
    trio = TRIOS[3]
    with service.gateway(SECTIONS.format(port=port)):
        mobile = Peer(port, "mobile")
        assert JIAN not in mobile.ask(trio.mobile, "CXMYD")
        answers = [mobile.ask(trio.mobile, trio.mobile.id_last4)]
        mobile.close()
        unicom = Peer(port, "unicom")
        answers.append(unicom.ask(trio.unicom, f"CXMYD#{trio.unicom.id_last4}"))
        unicom.close()
        telecom = Peer(port, "telecom")
        telecom.ask(trio.telecom, f"cxmyd {trio.telecom.id_last4}")
        answers.append(telecom.ask(trio.telecom, "y"))
        telecom.close()
    for answer in answers:
        assert 0 < answer.index(JIAN) < answer.index(CHANGSHA)
    assert mobile.statuses == [0, 0]
