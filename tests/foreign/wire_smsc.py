"""An SMSC by hand, on `tests.foreign.wire`: it notes what comes and when, and answers as a test wants it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.conftest import free_port
from tests.foreign.wire import (
    BIND_RECEIVER,
    BIND_TRANSCEIVER,
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    RESP,
    SUBMIT_SM,
    UNBIND,
    Pdu,
    Wire,
    message,
    pdu,
)

BINDS = (BIND_RECEIVER, BIND_TRANSMITTER, BIND_TRANSCEIVER)
TIMEOUT_S = 60.0  # only so that nothing hangs


def section(name: str, port: int, more: str = "") -> str:
    """A `[[smsc]]` of the carrier "plain"."""
    return f"""
[[smsc]]
name = "{name}"
port = {port}
system_id = "cxmyd"
password = "secret"
carrier = "plain"
reconnect_max_s = 1
{more}
"""


class Smsc:
    """Takes binds and submit_sm. `status` says what a submit_sm is answered with; None: nothing. `context`:
    it speaks TLS.
    """

    def __init__(
        self,
        status: Callable[[Pdu], int | None] = lambda submit: 0,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.port = free_port()
        self.status = status
        self.bind_status: int | None = 0  # None: a bind is not answered
        self.bind_tlvs = self.submit_tlvs = b""  # of the responses
        self.binds: list[tuple[float, Pdu]] = []  # and when they came
        self.submits: list[tuple[float, Pdu, Wire]] = []
        self.responses: dict[int, int] = {}  # to our requests: how many of each command_status
        self.enquiries = 0
        self.wires: dict[Wire, int] = {}  # and how it is bound
        self.handshakes: list[str] = []  # TLS: the serial number of each peer's certificate, or why it failed
        self._context = context
        self._changed = threading.Condition()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        wire = None
        try:
            wire = Wire(self._secured(connection))
            wire.socket.settimeout(None)
            while True:
                self._heard(wire, wire.receive())
        except OSError:
            with self._changed:
                if wire is not None:
                    self.wires.pop(wire, None)
                    wire.socket.close()
                connection.close()
                self._changed.notify_all()

    def _secured(self, connection: socket.socket) -> socket.socket:
        if self._context is None:
            return connection
        try:
            connection.settimeout(TIMEOUT_S)
            secure = self._context.wrap_socket(connection, server_side=True)
        except OSError as error:
            self._shaken(str(error))
            raise
        certificate = secure.getpeercert() or {}
        self._shaken(str(certificate.get("serialNumber", "")))
        return secure

    def _shaken(self, outcome: str) -> None:
        with self._changed:
            self.handshakes.append(outcome)
            self._changed.notify_all()

    def _heard(self, wire: Wire, heard: Pdu) -> None:
        with self._changed:
            status: int | None = 0
            body = b""
            if heard.command_id in BINDS:
                self.binds.append((wire.received_s, heard))
                status, body = self.bind_status, b"smsc\0" + self.bind_tlvs
                if status == 0:
                    self.wires[wire] = heard.command_id
            elif heard.command_id == SUBMIT_SM:
                self.submits.append((wire.received_s, heard, wire))
                status, body = self.status(heard), b"id\0" + self.submit_tlvs
            elif heard.command_id == ENQUIRE_LINK:
                self.enquiries += 1
            elif heard.command_id != UNBIND:
                status = None
                self.responses[heard.command_status] = self.responses.get(heard.command_status, 0) + 1
            if status is not None:
                number = heard.sequence_number
                wire.send(
                    pdu(heard.command_id | RESP, body if status == 0 else b"", status=status, number=number)
                )
            self._changed.notify_all()

    def until(self, condition: Callable[[], object], timeout_s: float = TIMEOUT_S) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout_s), self._heard_so_far()

    def _heard_so_far(self) -> str:
        statuses = {f"{status:#x}": number for status, number in self.responses.items()}
        return (
            f"binds heard: {len(self.binds)}, bound now: {len(self.wires)}, submit_sm heard: "
            f"{len(self.submits)}, enquire_link heard: {self.enquiries}, "
            f"responses heard, by command_status: {statuses}"
        )

    def texts(self, wanted: int) -> list[bytes]:
        """The bodies of so many submit_sm, as they came."""
        self.until(lambda: len(self.submits) >= wanted)
        return [submit.body for _, submit, _ in self.submits]

    def receiver(self) -> Wire:
        """A connection that is bound to receive."""
        self.until(lambda: any(bound != BIND_TRANSMITTER for bound in self.wires.values()))
        return next(wire for wire, bound in self.wires.items() if bound != BIND_TRANSMITTER)

    def ask(self, number: str, *, text: bytes = b"CXMYD", sequence_number: int = 1) -> None:
        """A subscriber's text."""
        self.receiver().send(message(DELIVER_SM, number, "12345", text, number=sequence_number))

    def refuse_connections(self) -> None:
        self._listener.close()

    def cut(self) -> None:
        """End all connections."""
        with self._changed:
            for wire in list(self.wires):
                wire.socket.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        self.refuse_connections()
        self.cut()


@contextmanager
def made() -> Iterator[Callable[..., Smsc]]:
    """Makes SMSCs; they stop at the end."""
    smscs: list[Smsc] = []

    def make(
        status: Callable[[Pdu], int | None] = lambda submit: 0, context: ssl.SSLContext | None = None
    ) -> Smsc:
        smscs.append(Smsc(status, context))
        return smscs[-1]

    yield make
    for smsc in smscs:
        smsc.stop()
