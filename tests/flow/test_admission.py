"""How many messages are taken: a simulated process that works off so many a second, and floods."""

from collections import deque

import pytest

from gateway.flow.admission import FIRST, FREE, HIGHEST, LOWEST, TURN_S, Admission

STEP_S = 0.01


class Simulated:
    """Works off `per_s` in the order in which they came. A turn waits a quarter of a message's time, as its
    other steps pass through the same queue.
    """

    def __init__(self, per_s: float) -> None:
        self.per_s = per_s
        self.now_s = 0.0
        self.admission = Admission()
        self.took_s: dict[str, list[float]] = {}
        self.refused: dict[str, int] = {}
        self.done = 0
        self._queue: deque[tuple[str, float]] = deque()
        self._due = self._offered = 0.0

    def run(self, seconds: float, **offered_per_s: float) -> None:
        carry = dict.fromkeys(offered_per_s, 0.0)
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            for route, per_s in offered_per_s.items():
                carry[route] += per_s * STEP_S
                self._arrive(route, int(carry[route]))
                carry[route] %= 1
            self._due = min(self._due + self.per_s * STEP_S, len(self._queue))
            while self._due >= 1:
                self._due -= 1
                self._finish()

    def _arrive(self, route: str, count: int) -> None:
        taken = min(count, self.admission.room(route))
        for _ in range(taken):
            self.admission.began(route)
            self._queue.append((route, self.now_s))
        if taken < count:
            self.admission.refused(route, count - taken)
            self.refused[route] = self.refused.get(route, 0) + count - taken

    def _finish(self) -> None:
        route, came_s = self._queue.popleft()
        self.admission.ended(route)
        self.done += 1
        took_s = self.now_s - came_s
        self.took_s.setdefault(route, []).append(took_s)
        self.admission.waited(took_s / 4, self.now_s)


def p99(figures: list[float]) -> float:
    return sorted(figures)[int(len(figures) * 0.99)]


@pytest.mark.parametrize("per_s", [2_000, 10_000, 40_000])
def test_three_times_the_rate_is_answered_at_the_full_rate_and_in_time(per_s: int) -> None:
    """Whatever the process can do; and the limit then serves what comes afterwards, at once."""
    process = Simulated(per_s)
    process.run(3, flood=3 * per_s)
    process.took_s.clear()
    process.run(20, flood=3 * per_s)
    assert process.done > 0.97 * 23 * per_s
    assert p99(process.took_s["flood"]) < 0.25
    process.run(2, flood=per_s / 2)  # what was left is worked off
    refused = process.refused["flood"]
    process.took_s.clear()
    process.run(10, flood=per_s / 2)
    assert process.refused["flood"] == refused
    assert p99(process.took_s["flood"]) <= 2 * STEP_S


def test_a_process_that_becomes_slower_is_given_less() -> None:
    """To a tenth, as when others want its processor: nobody waits long once the first are through."""
    process = Simulated(10_000)
    process.run(5, flood=30_000)
    process.per_s = 1_000
    process.run(8, flood=30_000)
    process.took_s.clear()
    process.run(5, flood=30_000)
    assert p99(process.took_s["flood"]) < 0.8


def test_a_link_that_floods_is_not_noticed_on_another() -> None:
    """50 a second beside any flood: none is refused."""
    process = Simulated(2_000)
    process.run(10, flood=20_000, quiet=50)
    assert "quiet" not in process.refused
    assert p99(process.took_s["quiet"]) < 0.8


def test_links_that_flood_share_alike() -> None:
    process = Simulated(2_000)
    process.run(10, first=20_000, second=4_000, third=3_000)
    shares = [len(process.took_s[route]) for route in ("first", "second", "third")]
    assert max(shares) < 1.25 * min(shares)
    assert sum(shares) > 0.97 * 20_000


def test_nobody_fills_everything_whatever_the_limit() -> None:
    """One flood leaves a fifth; a limit that has just fallen leaves a few to each route, and no more than the
    highest are ever under way.
    """
    admission = Admission()
    for _ in range(admission.room("flood")):
        admission.began("flood")
    admission.refused("flood", 1)
    assert admission.room("flood") == 0
    assert admission.under_way == FIRST * 4 / 5
    assert admission.room("other") > FIRST / 5
    for second in range(1, 20):
        admission.waited(1.0, float(second))
    assert admission.limit == LOWEST < admission.under_way
    assert admission.room("flood") == 0
    assert admission.room("other") == FREE
    for number in range(HIGHEST):
        if admission.room(f"route-{number}"):
            admission.began(f"route-{number}")
    assert admission.under_way == HIGHEST


def test_a_slow_store_is_given_less_and_forgiven_at_once() -> None:
    """The first tenth of a second in which it is quick again is enough."""
    admission = Admission()
    for second in range(1, 10):
        admission.waited(5.0, float(second))
    assert admission.limit == LOWEST
    admission.waited(TURN_S / 10, 10.0)
    assert admission.limit == FIRST


@pytest.mark.parametrize("per_s", [200, 1_000])
def test_a_link_that_is_slower_than_its_subscribers_refuses_before_answers_are_late(per_s: int) -> None:
    """Its SMSC takes `per_s`; another link has its room meanwhile. Afterwards nothing is to be worked off."""
    link = SlowLink(per_s)
    link.run(3, 3 * per_s)
    link.took_s.clear()
    link.run(10, 3 * per_s)
    assert len(link.took_s) > 0.97 * 10 * per_s
    assert p99(link.took_s) < 0.7
    assert link.admission.room("other") > FIRST / 2
    link.run(1, per_s / 2)
    link.refused = 0
    link.run(5, per_s / 2)
    assert link.refused == 0
    assert len(link.queue) < per_s * 0.1


class SlowLink:
    """Answers wait in one queue, of which so many leave in a second."""

    def __init__(self, per_s: int) -> None:
        self.per_s = per_s
        self.now_s = 0.0
        self.admission = Admission()
        self.queue: deque[float] = deque()
        self.took_s: list[float] = []
        self.refused = 0
        self._due = 0.0

    def run(self, seconds: float, offered_per_s: float) -> None:
        carry = 0.0
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            carry += offered_per_s * STEP_S
            for _ in range(int(carry)):
                if self.admission.room("slow"):
                    self.admission.began("slow")
                    self.admission.waited(0.001, self.now_s)
                    self.queue.append(self.now_s)
                else:
                    self.admission.refused("slow", 1)
                    self.refused += 1
            carry %= 1
            self._due = min(self._due + self.per_s * STEP_S, len(self.queue))
            while self._due >= 1:
                self._due -= 1
                took_s = self.now_s - self.queue.popleft()
                self.took_s.append(took_s)
                self.admission.left("slow", took_s, self.now_s)
                self.admission.ended("slow")


def test_with_nothing_under_way_all_is_forgotten() -> None:
    """A burst that comes some time after a flood finds as much room as one that was never preceded by any."""
    admission = Admission()
    untouched = admission.room("route")
    for _ in range(100):
        admission.began("route")
    for second in range(1, 20):
        admission.waited(1.0, float(second))
        admission.left("route", 5.0, float(second))
    assert admission.room("route") == 0
    for _ in range(100):
        admission.ended("route")
    assert admission.room("route") == untouched


def test_the_limit_grows_only_where_it_is_felt() -> None:
    admission = Admission()
    for second in range(1, 10):
        admission.waited(0.001, float(second))
    assert admission.limit == FIRST
    for second in range(10, 30):
        admission.refused("route", 1)
        admission.waited(0.001, float(second))
    assert admission.limit == HIGHEST
