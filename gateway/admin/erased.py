"""The list of what was erased, kept beside the store, so that a restored backup does not bring it back.

A line for each erasure: unix seconds, and where the record lay (key's number, partition, bucket, field). In
the store itself it would be lost with the store. Invariant: no number is in it; a line is on the disk before
anything is erased. Called by `cxmyd subscriber forget` and `forget-again`.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway.errors import GatewayError
from location_store.pseudonyms import Pseudonym

FILE_NAME = "erased.log"


def note(data_dir: Path, places: Sequence[Pseudonym], now_s: float) -> None:
    """Add erasures to the list, durably."""
    data_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(data_dir / FILE_NAME, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "ab") as file:
        for place in places:
            name = f"{place.number}.{place.partition}.{place.bucket}.{place.field.hex()}"
            file.write(f"{int(now_s)} {name}\n".encode())
        file.flush()
        os.fsync(file.fileno())


def noted(data_dir: Path, since_s: float) -> Iterator[Pseudonym]:
    """What was erased since then, oldest first, each once. Raises GatewayError for a line that is none."""
    path = data_dir / FILE_NAME
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    seen = set()
    for number, line in enumerate(lines, 1):
        try:
            time_text, name = line.split()
            key, partition, bucket, field = name.split(".")
            place = Pseudonym(int(partition), int(bucket), bytes.fromhex(field), int(key))
            is_due = int(time_text) >= since_s
        except ValueError:
            raise GatewayError(f"{path}: line {number} is none of ours: restore the file") from None
        if is_due and place not in seen:
            seen.add(place)
            yield place
