"""How many messages may be under way in this process at a time, so that none of them waits long, and whose
they may be.

Pure. The limit follows what the store's answer to a begun turn takes: with more under way than the process
can work on, it grows with the length of the queue, whichever of processor and store is the bottleneck, and it
has nothing of the SMSC's own time in it. What is refused costs next to nothing, and the SMSC keeps it.

Invariant: whoever floods leaves room. Routes of which something was refused lately share, in equal parts,
what the others do not use (max-min fairness), and a quarter of such a part stays free for whoever comes: one
that floods takes four fifths of the limit, of two each takes four ninths. A route that sends little is never
refused for the others' sake.

Called by the links before they read messages, and by the pipeline with each turn that has begun.
"""

from math import ceil

#: What a turn may wait for the store. A message waits about four times as long in all, so that it is answered
#: well within a second.
TARGET_S = 0.03
#: How often the limit is judged.
EVERY_S = 0.1
#: Fewer do not fill the round trips; more than the highest are a gigabyte of Python.
LOWEST, FIRST, HIGHEST = 200, 1_000, 5_000
SPARE = 0.25
#: Of one route are never too many, whatever the others do, and while the limit falls.
FREE = 20
#: What the limit may fall to at once, and grow to while it holds back more than it need.
FALLS, GROWS = 0.5, 1.25


class Admission:
    """`limit` and `under_way` are to be read."""

    def __init__(self) -> None:
        self.limit = FIRST
        self.under_way = 0
        self._of: dict[str, int] = {}
        self._waited_s = 0.0
        self._turns = 0
        self._floods: set[str] = set()  # routes that were refused something since the limit was judged
        self._felt: set[str] = set()  # these, and those of the time before
        self._since_s = 0.0

    def room(self, route: str) -> int:
        """How many more messages may begin by this route now; each must be told to `began`."""
        its_own = self._of.get(route, 0)
        others, floods = self.under_way - its_own, 1
        for flood in self._felt:
            if flood != route:
                others -= self._of.get(flood, 0)
                floods += 1
        share = max(FREE, ceil((self.limit - others) / (floods + SPARE)))
        return max(0, min(share - its_own, HIGHEST - self.under_way))

    def began(self, route: str) -> None:
        self.under_way += 1
        self._of[route] = self._of.get(route, 0) + 1

    def ended(self, route: str) -> None:
        self.under_way -= 1
        self._of[route] -= 1

    def refused(self, route: str) -> None:
        """There was no room: the limit is felt."""
        self._floods.add(route)
        self._felt.add(route)

    def waited(self, wait_s: float, now_s: float) -> None:
        """A turn has begun, for which the store's answer took so long."""
        self._waited_s += wait_s
        self._turns += 1
        if now_s >= self._since_s + EVERY_S:
            self._judge(self._waited_s / self._turns)
            self._waited_s, self._turns, self._since_s = 0.0, 0, now_s
            self._felt, self._floods = self._floods.copy(), set()

    def _judge(self, wait_s: float) -> None:
        if wait_s > TARGET_S:
            self.limit = max(LOWEST, int(self.limit * max(FALLS, TARGET_S / wait_s)))
        elif wait_s < TARGET_S / 2:
            # What was learnt under load says nothing of a time without.
            self.limit = max(self.limit, FIRST)
            if self._floods:
                self.limit = min(HIGHEST, int(self.limit * GROWS))
