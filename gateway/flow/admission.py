"""How many messages may be under way in this process at a time, so that none of them waits long, and whose
they may be.

Pure. Two limits, each of which follows what is waited for. That of the process follows how long the store
takes to answer for a turn that begins: with more under way than can be worked on, this grows with the queue,
whichever of processor and store is the bottleneck, and it has nothing of the SMSC's own time in it. That of
a route follows how long its answers wait until they may leave, for the window or the rate. What is refused
costs next to nothing, and the SMSC keeps it.

Invariant: whoever floods leaves room. Routes of which something was refused lately share, in equal parts,
what the others do not use (max-min fairness), and a quarter of such a part stays free for whoever comes: one
that floods takes four fifths of the limit, of two each takes four ninths. A route that sends little is never
refused for the others' sake.

Called by the links before they read messages and when an answer leaves, and by the pipeline with each turn
that has begun.
"""

from math import ceil, inf

#: What a turn may wait for the store, and how often that is judged: an SMSC whose window keeps a few hundred
#: messages under way is not to be refused any for a moment in which others had the processor. A message waits
#: about four times as long in all, so that it is answered within a second.
TURN_S, JUDGED_S = 0.1, 0.5
#: What it may while more are refused than begin: a crowd that is mostly turned away need not be large, and
#: some hundred messages in memory are worked on faster than thousands, and answered sooner.
FLOODED_S = 0.03
#: Fewer do not fill the round trips; more than the highest are a gigabyte of Python.
LOWEST, FIRST, HIGHEST = 200, 1_500, 5_000
#: What an answer may wait until it leaves, how often that is judged, and how many of a route that is slower
#: than they may wait.
LEAVING_S, ROUTE_JUDGED_S = 0.2, 0.1
LOWEST_OF_ROUTE, CALM_OF_ROUTE = 50, 100
SPARE = 0.25
#: Of one route are never too many for the process, whatever the others do, and while the limit falls.
FREE = 50
#: What a limit may fall to at once, and grow to while it holds back more than it need.
FALLS, GROWS = 0.5, 1.25


class Limit:
    """Follows what is waited for: above `target_s` it falls; below half of it it grows where it is felt, and
    is at least what is `calm` where it is not. The least wait of a time counts (as in CoDel, RFC 8289): that
    of a queue which stands, and not of a burst or of a moment in which the process stood still.
    """

    def __init__(self, target_s: float, every_s: float, *, lowest: int, first: int, calm: int) -> None:
        self.now = first
        self.felt = False
        self.target_s = target_s
        self._every_s = every_s
        self._lowest, self._first, self._calm = lowest, first, calm
        self._least_s = inf
        self._since_s = 0.0

    def forget(self) -> None:
        self.now = max(self.now, self._first)

    def waited(self, wait_s: float, now_s: float, used: int) -> bool:
        """Something has waited so long, with so many under way; whether the limit was judged."""
        self._least_s = min(self._least_s, wait_s)
        if now_s < self._since_s + self._every_s:
            return False
        self._judge(self._least_s, used)
        self._least_s, self._since_s, self.felt = inf, now_s, False
        return True

    def _judge(self, wait_s: float, used: int) -> None:
        if wait_s > self.target_s:
            # Whoever has just come will wait for longer: aim lower.
            share = max(FALLS, self.target_s / 2 / wait_s)
            self.now = max(self._lowest, int(min(self.now, used) * share))
        elif wait_s < self.target_s / 2:
            # What was learnt under load says nothing of a time without.
            self.now = min(HIGHEST, int(self.now * GROWS)) if self.felt else max(self.now, self._calm)


class Admission:
    """`under_way` is to be read."""

    def __init__(self) -> None:
        self.under_way = 0
        self._of: dict[str, int] = {}
        self._process = Limit(TURN_S, JUDGED_S, lowest=LOWEST, first=FIRST, calm=FIRST)
        self._routes: dict[str, Limit] = {}
        self._floods: set[str] = set()  # routes that were refused something since the limit was judged
        self._felt: set[str] = set()  # these, and those of the time before
        self._excess = 0  # messages refused since then, less those that began

    @property
    def limit(self) -> int:
        """That of the process."""
        return self._process.now

    def room(self, route: str) -> int:
        """How many more messages may begin by this route now; each must be told to `began`."""
        its_own = self._of.get(route, 0)
        others, floods = self.under_way - its_own, 1
        for flood in self._felt:
            if flood != route:
                others -= self._of.get(flood, 0)
                floods += 1
        share = max(FREE, ceil((self._process.now - others) / (floods + SPARE)))
        slow = self._routes.get(route)
        if slow is not None and slow.now < share:
            share = slow.now
        return max(0, min(share - its_own, HIGHEST - self.under_way))

    def began(self, route: str) -> None:
        self.under_way += 1
        self._excess -= 1
        self._of[route] = self._of.get(route, 0) + 1

    def ended(self, route: str) -> None:
        self.under_way -= 1
        left = self._of[route] = self._of[route] - 1
        # Where nothing is under way any more, what was learnt is over.
        if not left and route in self._routes:
            self._routes[route].forget()
        if not self.under_way:
            self._process.forget()

    def refused(self, route: str, count: int) -> None:
        """There was no room for so many."""
        slow = self._routes.get(route)
        if slow is not None and self._of.get(route, 0) >= slow.now:
            slow.felt = True
            return
        self._process.felt = True
        self._excess += count
        self._floods.add(route)
        self._felt.add(route)

    def waited(self, wait_s: float, now_s: float) -> None:
        """A turn has begun, for which the store's answer took so long."""
        self._process.target_s = FLOODED_S if self._excess > 0 else TURN_S
        if self._process.waited(wait_s, now_s, self.under_way):
            self._felt, self._floods, self._excess = self._floods.copy(), set(), 0

    def left(self, route: str, wait_s: float, now_s: float) -> None:
        """An answer has left by the route, which waited so long for it."""
        slow = self._routes.get(route)
        if slow is None:
            slow = self._routes[route] = Limit(
                LEAVING_S, ROUTE_JUDGED_S, lowest=LOWEST_OF_ROUTE, first=HIGHEST, calm=CALM_OF_ROUTE
            )
        slow.waited(wait_s, now_s, self._of.get(route, 0))
