"""An ordinary ESME on smpplib, written as its README shows: binds as transceiver, keeps the bind up, answers
the keyword with a text, and sends again what was throttled.

python smpplib_esme.py PORT SYSTEM_ID PASSWORD KEYWORD ENQUIRE_LINK_S RECONNECT_S
"""

from __future__ import annotations

import logging
import sys
import time
from typing import Any

import smpplib.client
import smpplib.consts
import smpplib.gsm

THROTTLED = (smpplib.consts.SMPP_ESME_RTHROTTLED, smpplib.consts.SMPP_ESME_RMSGQFUL)


class Application:
    """One connection after the other; the library does the rest in `listen`."""

    def __init__(self, port: int, system_id: str, password: str, keyword: str, enquire_link_s: float) -> None:
        self._credentials = {"system_id": system_id, "password": password}
        self._keyword = keyword
        self._sent: dict[int, tuple[str, str]] = {}
        # An enquire_link leaves whenever nothing came for `timeout`.
        client = smpplib.client.Client(
            "127.0.0.1", port, timeout=enquire_link_s, allow_unknown_opt_params=True
        )
        client.set_message_received_handler(self._received)
        client.set_message_sent_handler(lambda pdu: self._sent.pop(pdu.sequence, None))
        client.set_error_pdu_handler(self._refused)
        self._client = client

    def run(self) -> None:
        """Until the connection ends, by an exception of whatever kind."""
        try:
            self._client.connect()
            self._client.bind_transceiver(**self._credentials)
            self._client.listen()
        finally:
            self._client.disconnect()

    def _received(self, pdu: Any) -> None:
        if pdu.esm_class & 0x3C:  # a receipt or a notification
            return
        codec = {3: "latin-1", 8: "utf-16-be"}.get(pdu.data_coding, "ascii")
        octets = pdu.short_message or pdu.message_payload or b""
        if octets.decode(codec, "replace").strip() == self._keyword:
            self._answer(pdu.source_addr.decode(), pdu.destination_addr.decode())

    def _answer(self, number: str, service: str) -> None:
        parts, data_coding, esm_class = smpplib.gsm.make_parts("You sent the keyword.")
        for part in parts:
            pdu = self._client.send_message(
                source_addr=service,
                source_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
                dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
                destination_addr=number,
                short_message=part,
                data_coding=data_coding,
                esm_class=esm_class,
            )
            self._sent[pdu.sequence] = (number, service)

    def _refused(self, pdu: Any) -> None:
        logging.warning("%s %s", pdu.command, pdu.status)
        again = self._sent.pop(pdu.sequence, None)
        if again and pdu.status in THROTTLED:
            time.sleep(0.2)
            self._answer(*again)


def main() -> None:
    """Bind, and bind again, for as long as the process lives."""
    port, system_id, password, keyword, enquire_link_s, reconnect_s = sys.argv[1:]
    logging.basicConfig(format="%(asctime)s %(message)s")
    while True:
        try:
            Application(int(port), system_id, password, keyword, float(enquire_link_s)).run()
        except Exception as error:  # noqa: BLE001 - the library lets more than its own errors out
            logging.warning("connection ended: %r", error)
        time.sleep(float(reconnect_s))


if __name__ == "__main__":
    main()
