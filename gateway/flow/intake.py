"""From a PDU that carries a subscriber's text to a whole message: parts joined, text decoded, carrier and
digest found.

Called by the links. A part of a long message is durably kept before it is acknowledged, so that parts may
come in any order, over any bind, with a restart between them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol

from gateway.dialog.carrier import Carrier
from gateway.flow.deciding import carrier_of
from gateway.flow.messages import Mo
from gateway.smpp.constants import EsmClass, Tlv
from gateway.smpp.pdu import DataSm, Sm
from gateway.sms.alphabets import GSM_TABLES, Alphabet, Codings
from gateway.sms.concat import Concat, Content, content
from gateway.sms.joining import Piece, text_of
from location_store.errors import BadMsisdn
from location_store.msisdn import normalise
from location_store.pseudonyms import Pseudonym, Pseudonyms

_UDHI = int(EsmClass.UDHI)
TON_INTERNATIONAL = 1
TON_ALPHANUMERIC = 5


class Parts(Protocol):
    async def add(
        self, who: Pseudonym, digest: bytes, *, index: int, total: int, payload: bytes
    ) -> "list[bytes] | Incomplete": ...


class Incomplete(Enum):
    """There is no message yet."""

    PART_KEPT = "part_kept"  # the rest is still to come
    REFUSED = "part_refused"  # nothing is kept of a message beyond all limits


@dataclass(frozen=True, slots=True)
class Line:
    """What the intake has to know of the link a message came by."""

    route: str
    carrier: Carrier
    codings: Codings


class Intake:
    def __init__(
        self,
        *,
        parts: Parts,
        pseudonyms: Pseudonyms,
        numbers: Mapping[str, Carrier],
        default_country: str,
    ) -> None:
        self._parts = parts
        self._pseudonyms = pseudonyms
        self._numbers = numbers
        self._country = default_country
        # Under the oldest key of the file, so that old and new processes agree while it is being rotated.
        self._keyed_digest = hashlib.blake2b(digest_size=16, key=pseudonyms.subkeys("dedup")[-1])

    def reconfigure(self, numbers: Mapping[str, Carrier]) -> None:
        """Of the messages that come from now on."""
        self._numbers = numbers

    def is_ours(self, number: str) -> bool:
        """Whether it is a number of a carrier in use, or an extension of one."""
        return carrier_of(number, self._numbers, None) is not None

    def whole(self, pdu: Sm | DataSm, line: Line, now_s: float) -> Mo | None:
        """The message, when it is not a part of a longer one (then None: `joined`)."""
        if not pdu.tlvs and not pdu.esm_class & _UDHI and isinstance(pdu, Sm):  # as nearly all are
            data = pdu.short_message
            text = _plain(data, line.codings.of(pdu.data_coding))
            return self._mo(pdu, line, text, self._digest(pdu, line, data), now_s)
        what = content(pdu)
        if what.concat is not None:
            return None
        return self._alone(pdu, line, what, now_s)

    async def joined(self, pdu: Sm | DataSm, line: Line, now_s: float) -> Mo | Incomplete:
        """Keep one part; the message once all are there. StoreError: the part could not be kept."""
        what = content(pdu)
        assert what.concat is not None
        msisdn = self._msisdn(pdu)
        if msisdn is None:
            return self._alone(pdu, line, what, now_s)
        message = self._parts_digest(pdu, line, what.concat)
        parts = await self._parts.add(
            self._pseudonyms.of(msisdn),
            message,
            index=what.concat.index,
            total=what.concat.total,
            payload=_piece(pdu, what, line).sealable(),
        )
        if isinstance(parts, Incomplete):
            return parts
        text = text_of([Piece.of(part) for part in parts])
        # Each part has its own id of the SMSC, so a joined message is recognised by its content; and by its
        # reference, which a phone changes with each message, so that the same text sent again is another.
        digest = self._keyed(_told_apart([b"joined", message, *parts]))
        return self._mo(pdu, line, text, digest, now_s)

    def _alone(self, pdu: Sm | DataSm, line: Line, what: Content, now_s: float) -> Mo:
        text = text_of((_piece(pdu, what, line),))
        return self._mo(pdu, line, text, self._digest(pdu, line, what.header + what.data), now_s)

    def _mo(self, pdu: Sm | DataSm, line: Line, text: str, digest: bytes, now_s: float) -> Mo:
        return Mo(
            line.route,
            carrier_of(pdu.destination.digits, self._numbers, line.carrier),
            self._msisdn(pdu),
            pdu.source,
            pdu.destination,
            text,
            digest,
            now_s,
        )

    def _msisdn(self, pdu: Sm | DataSm) -> str | None:
        """E.164 digits of the sender; None for an alphanumeric sender or a short code."""
        ton, _, digits = pdu.source
        if ton == TON_ALPHANUMERIC:
            return None
        if ton == TON_INTERNATIONAL and not digits.startswith("+"):
            digits = "+" + digits
        try:
            return normalise(digits, self._country)
        except BadMsisdn:
            return None

    def _digest(self, pdu: Sm | DataSm, line: Line, data: bytes) -> bytes:
        """The same for a redelivery, by the SMSC's own id where it sends one, else by all that the
        subscriber sent: `data` with its header.
        """
        smsc_id = pdu.tlv(Tlv.RECEIPTED_MESSAGE_ID) if pdu.tlvs else None
        if smsc_id:
            # By the carrier: a message that comes again may come by another link to the same SMSC.
            carrier, source = line.carrier.name.encode(), _digits(pdu.source.digits)
            return self._keyed(_told_apart([b"id", carrier, source, smsc_id]))
        source, destination = _digits(pdu.source.digits), _digits(pdu.destination.digits)
        return self._keyed(  # as `_told_apart` would write it, nearly; this one is for every message
            b"4:text%d:%b%d:%b%c%b"
            % (len(source), source, len(destination), destination, pdu.data_coding & 0xFF, data)
        )

    def _parts_digest(self, pdu: Sm | DataSm, line: Line, concat: Concat) -> bytes:
        shape = f"{concat.width}/{concat.reference}/{concat.total}".encode()
        sender, receiver = _digits(pdu.source.digits), _digits(pdu.destination.digits)
        return self._keyed(_told_apart([b"parts", line.carrier.name.encode(), sender, receiver, shape]))

    def _keyed(self, text: bytes) -> bytes:
        digest = self._keyed_digest.copy()
        digest.update(text)
        return digest.digest()


@lru_cache(1024)
def _plain(data: bytes, alphabet: Alphabet | str) -> str:
    """Most texts are alike. One is kept without its sender."""
    return text_of((Piece(data, alphabet, GSM_TABLES, 0),))


def _piece(pdu: Sm | DataSm, what: Content, line: Line) -> Piece:
    return Piece(what.data, line.codings.of(pdu.data_coding), what.shifts, what.header_length)


def _told_apart(fields: list[bytes]) -> bytes:
    """The fields so joined that no other fields join to the same."""
    return b"".join([b"%d:%b" % (len(field), field) for field in fields])


def _digits(address: str) -> bytes:
    return address.encode("latin-1", "replace")
