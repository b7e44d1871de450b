"""The stream of erasures: whom ingesters have to let go of, since their memory holds what was erased.

Theory of operation. `forget` adds the pseudonym to the stream, erases the record (which raises its counter of
writes), and adds the pseudonym once more. An ingester looks into the stream before it takes rows, and between
reading records and writing them. If it looked before the first entry, it had read the record before the
erasure, and its write is refused by the counter; if it looked later, it has let go of the rows. The second
entry makes it forget when that subscriber was last seen, should it have asked for that in between.

Entries are kept for two days, so that rows that are read again after a crash do not bring back what was
erased before. Invariant: no number is in it. Called by `store` and `coalescer`.
"""

from __future__ import annotations

from typing import Any

import hiredis

from location_store.nodes import Command, Flight, Nodes, Packed
from location_store.pseudonyms import Pseudonym

ERASED_KEY = b"cxmyd:erased"
KEPT_S = 2 * 86_400


def entry(who: Pseudonym, now_s: float) -> Command:
    """The command that tells of an erasure, and drops what was told two days ago."""
    oldest_ms = round(1000 * (now_s - KEPT_S))
    name = b"%d.%d." % (who.partition, who.bucket) + who.field
    return Command(ERASED_KEY, ("XADD", ERASED_KEY, "MINID", "~", oldest_ms, "*", "who", name))


class Erasures:
    """The stream as one ingester reads it."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._last = b"-"
        self.time_s: dict[Pseudonym, float] = {}
        """When each was erased last (unix seconds by the clock of Redis), of all that was read so far."""

    def start(self) -> Flight:
        """Ask for what is new."""
        command: Any = (b"XRANGE", ERASED_KEY, self._last, b"+")  # hiredis says: a tuple of one element
        return self._nodes.start([Packed(ERASED_KEY, hiredis.pack_command(command), 1)])

    def finish(self, flight: Flight) -> list[Pseudonym]:
        """Who was erased since the last look; at the first one, within the last two days."""
        ((entries,),) = self._nodes.finish(flight)
        new = []
        for number, (_, name) in entries:  # one field and its value
            partition, bucket, field = name.split(b".", 2)
            who = Pseudonym(int(partition), int(bucket), field)
            self.time_s[who] = int(number.partition(b"-")[0]) / 1000
            new.append(who)
        if entries:
            self._last = b"(" + entries[-1][0]
        return new

    def look(self) -> list[Pseudonym]:
        """`start` and `finish` in one."""
        return self.finish(self.start())
