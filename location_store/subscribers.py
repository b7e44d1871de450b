"""Who a subscriber is to the dialog: the part of his record that the carrier's import gives, 1 to 8 bytes.

    offset  bytes  field
    0       1      flags: 1 English, 2 blocked, 4 forgotten, 8 imported, 16 has since, 32 has an ID digest;
                   the upper two bits are the version of the whole record, 10
    1       1      carrier: index in the registry of carrier names            (if imported)
    then    3      since, minutes from 2016-01-01T00:00Z, u24 little-endian   (if flagged)
    then    3      keyed digest of the last four of the ID document           (if flagged)

Invariant: pure; no ID digits, no number. `record` puts this part and the history together.
"""

from typing import Literal, NamedTuple

from location_store.epoch import EPOCH_MIN, MAX_MIN, MINUTE_BYTES
from location_store.errors import BadInput, RecordError
from location_store.pseudonyms import ID_DIGEST_BYTES

Language = Literal["zh", "en"]

_ENGLISH, _BLOCKED, _FORGOTTEN, IMPORTED, HAS_SINCE, _HAS_DIGEST = 1, 2, 4, 8, 16, 32
VERSION, _VERSION_MASK = 0b10 << 6, 0b11 << 6


class Subscriber(NamedTuple):
    """What is known of a number beside its history.

    carrier_id: 0 to 255. id_digest: 3 bytes, or b"" where none was imported. since_min: unix minute before
    which nothing is ever shown. forgotten: erased; no place is named until it is imported again. imported: a
    subscriber record proper, not only a mark that an operator left on a number; only such a one has a
    carrier.
    """

    carrier_id: int = 0
    id_digest: bytes = b""
    language: Language = "zh"
    since_min: int | None = None
    blocked: bool = False
    forgotten: bool = False
    imported: bool = False


NOBODY = Subscriber()
"""A number of which no more is known than its history."""


def _size(flags: int) -> int:
    """Bytes of the part, 0 where the version is another."""
    if flags & _VERSION_MASK != VERSION:
        return 0
    return (
        1
        + (1 if flags & IMPORTED else 0)
        + (MINUTE_BYTES if flags & HAS_SINCE else 0)
        + (ID_DIGEST_BYTES if flags & _HAS_DIGEST else 0)
    )


SIZES = bytes(_size(flags) for flags in range(256))
"""How long the part is, by its first byte; 0: of no version that is known here."""


def pack(subscriber: Subscriber) -> bytes:
    """The part's bytes.

    A `since` before 2016 is kept as 2016, which hides as much; BadInput for one after 2047.
    """
    since, digest = subscriber.since_min, subscriber.id_digest
    if digest and len(digest) != ID_DIGEST_BYTES:
        raise ValueError(f"an ID digest has {ID_DIGEST_BYTES} bytes, not {len(digest)}")
    if subscriber.carrier_id and not subscriber.imported:
        raise ValueError("a number that was not imported has no carrier")
    flags = (
        VERSION
        | (_ENGLISH if subscriber.language == "en" else 0)
        | (_BLOCKED if subscriber.blocked else 0)
        | (_FORGOTTEN if subscriber.forgotten else 0)
        | (IMPORTED if subscriber.imported else 0)
        | (HAS_SINCE if since is not None else 0)
        | (_HAS_DIGEST if digest else 0)
    )
    out = bytes((flags, subscriber.carrier_id) if subscriber.imported else (flags,))
    if since is not None:
        if since > EPOCH_MIN + MAX_MIN:
            raise BadInput("since lies after 2047: give the date from which the number is this person's")
        out += max(since - EPOCH_MIN, 0).to_bytes(MINUTE_BYTES, "little")
    return out + digest


def unpack(part: bytes) -> Subscriber:
    """The subscriber in the bytes. Raises RecordError when they are not of this format."""
    if not part or len(part) != SIZES[part[0]]:
        raise RecordError(f"subscriber's part of {len(part)} bytes is damaged or of an unknown version")
    flags = part[0]
    at = 2 if flags & IMPORTED else 1
    since = None
    if flags & HAS_SINCE:
        since = EPOCH_MIN + int.from_bytes(part[at : at + MINUTE_BYTES], "little")
        at += MINUTE_BYTES
    return tuple.__new__(  # for every query; half the cost of calling a NamedTuple
        Subscriber,
        (
            part[1] if flags & IMPORTED else 0,
            part[at:],
            "en" if flags & _ENGLISH else "zh",
            since,
            flags & _BLOCKED != 0,
            flags & _FORGOTTEN != 0,
            flags & IMPORTED != 0,
        ),
    )
