"""What a store keeps about itself, so that nobody fills it in two ways: its layout, and the id of its key.

Under another layout or another key nothing that was stored is found, and what is written is found by nobody
else. Invariant: the first process to come states both; every later one is compared before it reads or
writes. Pure; asked by `store` and by the gateway, each over its own connections:

    for claim in claims(pseudonyms):
        SET claim.key claim.value NX; found = GET claim.key
        if claim.replaces(found): SET claim.key claim.value
"""

from __future__ import annotations

import json
from typing import NamedTuple

from location_store.errors import StoreRefused
from location_store.pseudonyms import Layout, Pseudonyms

LAYOUT_KEY = b"cxmyd:layout"
KEY_ID_KEY = b"cxmyd:key"

_FORMAT = 2


class Claim(NamedTuple):
    """One thing to compare. `older`: values that ours takes the place of. `refusal`: with {found}, {ours}."""

    key: bytes
    value: bytes
    older: frozenset[bytes]
    refusal: str

    def replaces(self, found: bytes | None) -> bool:
        """Whether our value is to be written over `found`. Raises StoreRefused when they do not agree."""
        if found == self.value:
            return False
        if found in self.older:
            return True
        raise StoreRefused(self.refusal.format(found=_shown(found), ours=_shown(self.value)))


def claims(pseudonyms: Pseudonyms) -> tuple[Claim, ...]:
    """The layout; and the newest key, which may follow any other of its file (rotation)."""
    newest, *others = (key_id.encode() for key_id in pseudonyms.key_ids)
    return (
        Claim(
            LAYOUT_KEY,
            _layout_text(pseudonyms.layout),
            frozenset(),
            "the store was filled with the layout {found}, the configuration asks for {ours}: set [store] "
            "back, or use an empty database",
        ),
        Claim(
            KEY_ID_KEY,
            newest,
            frozenset(others),
            "the store was filled under the key {found}, which keys.file does not hold (its newest is "
            "{ours}): put the file of that key back, or use an empty database",
        ),
    )


def _layout_text(layout: Layout) -> bytes:
    return json.dumps({"format": _FORMAT, **layout._asdict()}).encode()


def _shown(value: bytes | None) -> str:
    return (value or b"none").decode("utf-8", "replace").strip("{}").replace('"', "")
