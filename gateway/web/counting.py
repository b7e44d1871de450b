"""What `counts` counted, turned into Prometheus' metrics when somebody reads them. The exposition is the same
as that of prometheus_client's own metrics.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.web.counts import Counts, Durations


def counts(name: str, documentation: str, labels: Sequence[str], registry: CollectorRegistry) -> Counts:
    """A counter with labels."""
    made = Counts()

    def family() -> Metric:
        exposed = CounterMetricFamily(name, documentation, labels=labels)
        for values, count in made.counts.items():
            exposed.add_metric(values, count)
        return exposed

    registry.register(_Exposed(family))
    return made


def durations(
    name: str, documentation: str, *, label: str, bounds_s: Sequence[float], registry: CollectorRegistry
) -> Durations:
    """A histogram of seconds with one label. `bounds_s`: upper bounds, ascending; beyond lies infinity."""
    made = Durations(bounds_s)
    names = [*map(str, map(float, bounds_s)), "+Inf"]

    def family() -> Metric:
        exposed = HistogramMetricFamily(name, documentation, labels=[label])
        for value, counted in made.counts.items():
            buckets = [(bound, sum(counted[: n + 1])) for n, bound in enumerate(names)]
            exposed.add_metric([value], buckets, made.sums_s[value])
        return exposed

    registry.register(_Exposed(family))
    return made


class _Exposed(Collector):
    def __init__(self, family: Callable[[], Metric]) -> None:
        self._family = family

    def collect(self) -> Iterator[Metric]:
        yield self._family()


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
