"""A small ESME of smpplib's own client on a thread: what the simulated SMSC is tested with."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import smpplib.client
from smpplib import exceptions


class Esme(contextlib.AbstractContextManager["Esme"]):
    """Binds to 127.0.0.1:`port` and reads until it is left. `received` gets every deliver_sm and returns the
    command_status to answer with; `responses` are the submit_sm_resp that came."""

    def __init__(
        self,
        port: int,
        received: Callable[["Esme", Any], int] = lambda esme, pdu: 0,
        bind: str = "transceiver",
        **bind_fields: Any,
    ) -> None:
        self.port = port
        self.bind = bind
        self.bind_fields = {"system_id": "cxmyd", "password": "secret"} | bind_fields
        self.responses: list[Any] = []
        self.deliveries: list[Any] = []
        self._received = received
        self._lock = threading.Lock()
        self.client = smpplib.client.Client("127.0.0.1", port, timeout=5, allow_unknown_opt_params=True)
        self.client.set_message_received_handler(self._on_deliver)
        self.client.set_message_sent_handler(self._on_response)
        self.client.set_error_pdu_handler(self._on_response)

    def __enter__(self) -> "Esme":
        self.client.connect()
        getattr(self.client, f"bind_{self.bind}")(**self.bind_fields)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError, AttributeError):
            self.client._socket.shutdown(2)
        self._thread.join(5)
        self.client.disconnect()

    def submit(self, to: str, source: str, short_message: bytes, **fields: Any) -> int:
        """Send a submit_sm; its sequence number."""
        with self._lock:
            pdu = self.client.send_message(
                source_addr_ton=0,
                source_addr_npi=1,
                source_addr=source,
                dest_addr_ton=1,
                dest_addr_npi=1,
                destination_addr=to,
                short_message=short_message,
                **fields,
            )
        return int(pdu.sequence)

    def _on_deliver(self, pdu: Any) -> int:
        self.deliveries.append(pdu)
        return self._received(self, pdu)

    def _on_response(self, pdu: Any) -> None:
        self.responses.append(pdu)

    def _read(self) -> None:
        with contextlib.suppress(exceptions.ConnectionError, OSError):
            self.client.listen()
