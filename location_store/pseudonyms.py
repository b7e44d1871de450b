"""Pseudonyms: where a number's record lies in Redis, without telling the number.

Numbers are enumerable, so a plain digest would hide nothing: every name is a keyed BLAKE2b (RFC 7693), and
the key stays outside Redis. One root secret, one subkey for each purpose by HKDF-SHA-256 (RFC 5869), so that
a value made for one purpose says nothing about another. A name is a bucket and 7 bytes within it: that two
among n numbers share one has the probability n * 64 / 2^56, 1 in 700,000 for the 1.6 billion of a nation.

Invariant: pure; same key, layout and number, same pseudonym, in every process. Called by ingest, queries,
the audit log.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from location_store.keys import Key, KeyFile

__all__ = ["Key", "KeyFile", "Layout", "Pseudonym", "Pseudonyms"]

FIELD_BYTES = 7
ID_DIGEST_BYTES = 3
PLACE_BYTES = 8
DIGEST_BYTES = PLACE_BYTES + FIELD_BYTES
SUBSCRIBERS_PER_BUCKET = (
    128  # a listpack of about 5 KB: small enough to search, large enough to share its overhead
)
_SALT = b"cxmyd/1"


class Layout(NamedTuple):
    """How the store is cut: partitions (key tags, the unit of distribution), and buckets (hashes) in each.

    Fixed when a store is first filled: another layout finds nothing.
    """

    partitions: int = 1024
    buckets: int = 8

    @classmethod
    def for_subscribers(cls, expected: int, partitions: int = 1024) -> "Layout":
        """The layout in which so many subscribers fill their buckets with about 128 each."""
        return cls(partitions, max(1, -(-expected // (partitions * SUBSCRIBERS_PER_BUCKET))))


class Pseudonym(NamedTuple):
    """The place of a subscriber's record: partition, bucket within it, and field of the bucket's hash.

    number: that of the key; what lies under different keys lies in different hashes.
    """

    partition: int
    bucket: int
    field: bytes
    number: int = 0


def bucket_key(pseudonym: Pseudonym) -> bytes:
    """Key of the hash that holds this subscriber's record, under `pseudonym.field`."""
    partition, bucket, _, number = pseudonym
    return b"b%d:{%d}:%d" % (number, partition, bucket) if number else b"b:{%d}:%d" % (partition, bucket)


class Pseudonyms:
    """Pseudonyms under one key of the file.

    epoch 0, the newest key, to write and read with; `older`, to read with during a rotation.
    """

    def __init__(self, keys: KeyFile, layout: Layout, epoch: int = 0) -> None:
        self.layout = layout
        self.key_ids = tuple(key.id for key in keys.keys)
        """The public ids of all keys of the file, newest first."""
        self.number = keys.keys[epoch].number
        self.numbers = tuple(key.number for key in keys.keys)
        """Those of all keys of the file, newest first."""
        self.older = Pseudonyms(keys, layout, epoch + 1) if epoch + 1 < len(keys.keys) else None
        """The same under the key before, while the file has it."""
        self._root = keys.keys[epoch].secret
        self._pseudonym_key = self.subkey("pseudonym")
        self._keyed = blake2b(digest_size=DIGEST_BYTES, key=self._pseudonym_key)
        self._id_key = self.subkey("id-digest")
        self.audit_key = keys.audit or self.subkey("audit")

    def of(self, msisdn: str) -> Pseudonym:
        """The pseudonym of an MSISDN (E.164 digits as `msisdn.normalise` gives them)."""
        keyed = self._keyed.copy()
        keyed.update(msisdn.encode())
        digest = keyed.digest()
        partitions, buckets = self.layout
        bucket, partition = divmod(
            int.from_bytes(digest[:PLACE_BYTES], "big") % (partitions * buckets), partitions
        )
        # For every message; half the cost of calling a NamedTuple.
        return tuple.__new__(Pseudonym, (partition, bucket, digest[PLACE_BYTES:], self.number))

    def all_of(self, msisdn: str) -> list[Pseudonym]:
        """The pseudonyms under all keys of the file, newest first."""
        return [self.of(msisdn), *(self.older.all_of(msisdn) if self.older else ())]

    def digests(self, msisdns: Iterable[str | int]) -> bytes:
        """What pseudonyms are cut from, 15 bytes a number: PLACE_BYTES for the bucket, FIELD_BYTES."""
        key = self._pseudonym_key
        return b"".join(
            [blake2b(str(msisdn).encode(), digest_size=DIGEST_BYTES, key=key).digest() for msisdn in msisdns]
        )

    def id_digest(self, msisdn: str, last4: str) -> bytes:
        """3 bytes that stand for the last four of the ID document, bound to the number; x equals X.

        A wrong guess among the 11,000 possible ones passes with 1 in 16 million. Compare with
        hmac.compare_digest.
        """
        text = f"{msisdn}/{last4.upper()}".encode()
        return blake2b(text, digest_size=ID_DIGEST_BYTES, key=self._id_key).digest()

    def subkey(self, label: str, length: int = 32) -> bytes:
        """A key of its own for another purpose (audit chain, parked messages, deduplication)."""
        return HKDF(SHA256(), length, _SALT, label.encode()).derive(self._root)

    def subkeys(self, label: str) -> list[bytes]:
        """The same under all keys of the file, newest first."""
        return [self.subkey(label), *(self.older.subkeys(label) if self.older else ())]
