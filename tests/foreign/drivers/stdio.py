"""Orders as JSON lines on stdin, events as JSON lines on stdout (`tests/foreign/stack.py` has the words)."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

Order = dict[str, Any]


def say(event: str, **fields: Any) -> None:
    sys.stdout.write(json.dumps({"event": event, **fields}) + "\n")
    sys.stdout.flush()


class Lines:
    """Orders as they come, for whoever waits with `select` or a reactor: nothing stays behind in a buffer."""

    def __init__(self) -> None:
        self.ended = False
        self._rest = b""

    def fileno(self) -> int:
        return 0

    def read(self) -> Iterator[Order]:
        """All that has come whole; waits when there is nothing."""
        data = os.read(0, 65_536)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        yield from map(json.loads, lines)


def part(data: bytes, data_coding: int, esm_class: int) -> dict[str, Any]:
    """The text, and which part of a long one it is: a concatenation element alone in the user data header."""
    place = {"reference": 0, "total": 1, "index": 1}
    if esm_class & 0x40:
        header, data = data[1 : 1 + data[0]], data[1 + data[0] :]
        reference = int.from_bytes(header[2:-2], "big")
        place = {"reference": reference, "total": header[-2], "index": header[-1]}
    return {"text": data.decode("utf-16-be" if data_coding == 8 else "ascii"), **place}


def cut(order: Order) -> tuple[bytes, int, int]:
    """short_message, esm_class and data_coding: as the order has them, or the text as ASCII or UCS2."""
    if "hex" in order:
        return bytes.fromhex(order["hex"]), order["esm_class"], order["data_coding"]
    if order["text"].isascii():
        return order["text"].encode("ascii"), 0, 0
    return order["text"].encode("utf-16-be"), 0, 8
