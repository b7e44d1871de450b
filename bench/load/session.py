"""One connection of an ESME to the load: binds, takes its answers, and says what to write.

One pass over the received bytes a read. Invariant: every request gets one response, malformed ones too. No
socket and no clock in it. Called by `run`.
"""

from collections.abc import Iterator

from bench.load import pdus
from bench.load.conversations import Conversations
from bench.load.pdus import HEADER, RESP, SUBMIT_SM, pdu

_BINDS = {
    pdus.BIND_RECEIVER: (True, False),
    pdus.BIND_TRANSMITTER: (False, True),
    pdus.BIND_TRANSCEIVER: (True, True),
}
_STATUSES = {
    **dict.fromkeys(_BINDS, pdus.ESME_RALYBND),
    SUBMIT_SM: pdus.ESME_RINVBNDSTS,  # by a receiver, or before the bind
    pdus.ENQUIRE_LINK: 0,
    pdus.UNBIND: 0,
}
_BOUND_AS = b"load\0\x02\x10\0\x01\x34"  # system_id, sc_interface_version
_DELIVER_SM_RESP = pdus.DELIVER_SM | RESP
_SUBMIT_SM_RESP = HEADER.pack(27, SUBMIT_SM | RESP, 0, 0)[:12]


class Session:
    """`link`: its number, 1 to 255. `ids`: message_ids, 10 octets and a NUL, one for all sessions."""

    def __init__(self, link: int, conversations: Conversations, ids: Iterator[bytes]) -> None:
        self.link = link
        self._conversations = conversations
        self._ids = ids
        self._held = b""
        self._lead = b"\xff"  # what stood between header and destination_addr in the last submit_sm
        self._sequence = 0x7000_0000  # of our own requests; deliver_sm count from 1
        self.receives = self.transmits = False
        self.unacked = 0
        self.ends = False

    @property
    def takes_messages(self) -> bool:
        return self.receives and not self.ends

    def request(self, command_id: int) -> bytes:
        """An unbind or an enquire_link."""
        self._sequence += 1
        return pdu(command_id, self._sequence)

    def receive(self, data: bytes, now_s: float) -> bytes:
        """The responses to what has come. With `ends` set, the connection is to be closed after them."""
        if self._held:
            data = self._held + data
        at, end = 0, len(data)
        out: list[bytes] = []
        acks: list[int] = []
        answers: list[tuple[bytes, bytes]] = []
        header, lead, next_id, transmits = HEADER.unpack_from, self._lead, self._ids.__next__, self.transmits
        while end - at >= 16:
            length, command_id, status, sequence = header(data, at)
            stop = at + length
            if stop > end or length < 16:
                out.append(self._cut(length, sequence))
                break
            if command_id == SUBMIT_SM and transmits:
                if data.startswith(lead, at + 16):
                    start = at + 16 + len(lead)
                else:
                    start = self._address_at(data, at + 16, stop)
                    lead = self._lead
                nul = data.find(b"\0", start, stop) if start else -1
                if nul < 0 or nul - start > 20:
                    self._conversations.count["bad_pdus"] += 1
                    out.append(pdu(SUBMIT_SM | RESP, sequence, status=pdus.ESME_RINVPARAM))
                else:
                    answers.append((data[start:nul], data[nul + 1 : stop]))
                    out += (_SUBMIT_SM_RESP, data[at + 12 : at + 16], next_id())
            elif command_id == _DELIVER_SM_RESP and not status:
                acks.append(sequence)
            else:
                out.append(self._other(command_id, status, sequence, now_s))
                transmits = self.transmits
            at = stop
        self._held = data[at:]
        if acks:
            self.unacked -= self._conversations.acked(acks, self.link)
        if answers:
            self._conversations.count["submit_sm"] += len(answers)
            self._conversations.answered(answers, now_s)
        return b"".join(out)

    def _cut(self, length: int, sequence: int) -> bytes:
        """The rest of a PDU is still to come, or there is no telling where it ends."""
        if 16 <= length <= pdus.MAX_LENGTH:
            return b""
        self._conversations.count["bad_pdus"] += 1
        self.ends = True
        return pdu(pdus.GENERIC_NACK, sequence, status=pdus.ESME_RINVCMDLEN)

    def _address_at(self, data: bytes, start: int, stop: int) -> int:
        """Where destination_addr begins, and remember what stands before it; 0 where it is malformed."""
        try:
            address = pdus.address_at(data, start, stop)
        except ValueError:
            return 0
        self._lead = data[start:address]
        return address

    def _other(self, command_id: int, status: int, sequence: int, now_s: float) -> bytes:
        """Everything that is rare."""
        if command_id in (_DELIVER_SM_RESP, pdus.GENERIC_NACK):
            self.unacked -= self._conversations.refused(sequence, status or 0xFF, self.link, now_s)
            return b""
        if command_id in _BINDS and not (self.receives or self.transmits):
            self.receives, self.transmits = _BINDS[command_id]
            self._conversations.count["binds"] += 1
            return pdu(command_id | RESP, sequence, _BOUND_AS)
        if command_id & ~RESP == pdus.UNBIND:
            self.ends = True
        if command_id & RESP:
            return b""
        if command_id in _STATUSES:
            return pdu(command_id | RESP, sequence, status=_STATUSES[command_id])
        return pdu(pdus.GENERIC_NACK, sequence, status=pdus.ESME_RINVCMDID)
