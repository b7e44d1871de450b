"""Counts of the hot path: plain integers, turned into Prometheus' metrics only when somebody reads them.

A process counts in one thread, so nothing is locked (prometheus_client's own counters take a lock and four
calls for each event). The exposition is the same as theirs.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry


class Counts(Collector):
    """A counter with labels; `counts` is to be read."""

    def __init__(
        self, name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry
    ) -> None:
        self._about = name, documentation
        self._labels = labels
        self.counts: dict[tuple[str, ...], int] = {}
        registry.register(self)

    def add(self, *labels: str, count: int = 1) -> None:
        self.counts[labels] = self.counts.get(labels, 0) + count

    def collect(self) -> Iterator[Metric]:
        family = CounterMetricFamily(*self._about, labels=self._labels)
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        yield family


class Durations(Collector):
    """A histogram of seconds with one label. `bounds_s`: upper bounds, ascending; beyond lies infinity."""

    def __init__(
        self,
        name: str,
        documentation: str,
        *,
        label: str,
        bounds_s: Sequence[float],
        registry: CollectorRegistry,
    ) -> None:
        self._about = name, documentation
        self._label = label
        self._bounds_s = bounds_s
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}
        registry.register(self)

    def add(self, label: str, seconds: float) -> None:
        counts = self._counts.get(label)
        if counts is None:
            counts = self._counts[label] = [0] * (len(self._bounds_s) + 1)
            self._sums_s[label] = 0.0
        counts[bisect_left(self._bounds_s, seconds)] += 1
        self._sums_s[label] += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(*self._about, labels=[self._label])
        names = [*map(str, map(float, self._bounds_s)), "+Inf"]
        for label, counts in self._counts.items():
            buckets = [(name, sum(counts[: n + 1])) for n, name in enumerate(names)]
            family.add_metric([label], buckets, self._sums_s[label])
        yield family


class Health(NamedTuple):
    """Of one link or listener: its `totals` by event, the rate it may send at now (inf: any; None: it has
    none of its own) and the end of its certificate.
    """

    link: str
    totals: Mapping[str, int]
    rate_per_s: float | None
    expires: datetime | None


class Links(Collector):
    """What `look` says of all links, whenever somebody reads it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.look: Callable[[], Iterable[Health]] = tuple
        registry.register(self)

    def collect(self) -> Iterator[Metric]:
        pdus = CounterMetricFamily("cxmyd_link_pdus", "PDUs", labels=("link", "direction"))
        events = CounterMetricFamily(
            "cxmyd_link_events", "Of sessions and PDUs, by event", labels=("link", "event")
        )
        rate = GaugeMetricFamily("cxmyd_link_rate_per_s", "Rate allowed now", labels=("link",))
        expires = GaugeMetricFamily(
            "cxmyd_tls_certificate_expires_timestamp_seconds", "End of our certificate", labels=("link",)
        )
        for each in self.look():
            for event, count in each.totals.items():
                family = pdus if event in {"received", "sent"} else events
                family.add_metric((each.link, event), count)
            if each.rate_per_s is not None:
                rate.add_metric((each.link,), each.rate_per_s)
            if each.expires is not None:
                expires.add_metric((each.link,), each.expires.timestamp())
        yield from (pdus, events, rate, expires)
