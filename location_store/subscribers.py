"""The packed record of one subscriber: who he is to the dialog, in 2 to 13 bytes.

    offset  bytes  field
    0       1      flags: 1 English, 2 blocked, 4 forgotten, 8 imported, 16 has since, 32 has an ID digest;
                   the upper two bits are the format version, 01
    1       1      carrier: index in the registry of carrier names
    2       3      since, minutes from 2016-01-01T00:00Z, u24 little-endian   (if flagged)
    2 or 5  8      keyed digest of the last four of the ID document           (if flagged)

Invariant: pure; no ID digits, no number. Called by imports, the commands on one subscriber, and queries.
"""

from typing import Literal, NamedTuple

from location_store.errors import BadInput
from location_store.pseudonyms import ID_DIGEST_BYTES
from location_store.record import EPOCH_MIN, MAX_MIN, RecordError

Language = Literal["zh", "en"]

_ENGLISH, _BLOCKED, _FORGOTTEN, _IMPORTED, _HAS_SINCE, _HAS_DIGEST, _VERSION, _VERSION_MASK = (
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    192,
)
_SINCE_BYTES = 3


class Subscriber(NamedTuple):
    """What is known of a number beside its history.

    carrier_id: 0 to 255. id_digest: 8 bytes, or b"" where none was imported. since_min: unix minute before
    which nothing is ever shown. forgotten: erased; no place is named until it is imported again. imported: a
    subscriber record proper, not only a mark that an operator left on a number.
    """

    carrier_id: int = 0
    id_digest: bytes = b""
    language: Language = "zh"
    since_min: int | None = None
    blocked: bool = False
    forgotten: bool = False
    imported: bool = False


def pack(subscriber: Subscriber) -> bytes:
    """The record's bytes.

    A `since` before 2016 is kept as 2016, which hides as much; BadInput for one after 2047.
    """
    since, digest = subscriber.since_min, subscriber.id_digest
    if digest and len(digest) != ID_DIGEST_BYTES:
        raise ValueError(f"an ID digest has {ID_DIGEST_BYTES} bytes, not {len(digest)}")
    flags = (
        _VERSION
        | (_ENGLISH if subscriber.language == "en" else 0)
        | (_BLOCKED if subscriber.blocked else 0)
        | (_FORGOTTEN if subscriber.forgotten else 0)
        | (_IMPORTED if subscriber.imported else 0)
        | (_HAS_SINCE if since is not None else 0)
        | (_HAS_DIGEST if digest else 0)
    )
    out = bytes((flags, subscriber.carrier_id))
    if since is not None:
        if since > EPOCH_MIN + MAX_MIN:
            raise BadInput("since lies after 2047: give the date from which the number is this person's")
        out += max(since - EPOCH_MIN, 0).to_bytes(_SINCE_BYTES, "little")
    return out + digest


def unpack(blob: bytes) -> Subscriber:
    """The subscriber in the bytes. Raises RecordError when they are no record of this format."""
    if len(blob) < 2 or blob[0] & _VERSION_MASK != _VERSION:
        raise RecordError(f"subscriber record of {len(blob)} bytes is damaged or of an unknown version")
    flags = blob[0]
    digest_offset = 2 + (_SINCE_BYTES if flags & _HAS_SINCE else 0)
    if len(blob) != digest_offset + (ID_DIGEST_BYTES if flags & _HAS_DIGEST else 0):
        raise RecordError(f"subscriber record of {len(blob)} bytes is damaged: its length does not fit")
    since = EPOCH_MIN + int.from_bytes(blob[2:digest_offset], "little") if flags & _HAS_SINCE else None
    return Subscriber(
        blob[1],
        blob[digest_offset:],
        "en" if flags & _ENGLISH else "zh",
        since,
        flags & _BLOCKED != 0,
        flags & _FORGOTTEN != 0,
        flags & _IMPORTED != 0,
    )
