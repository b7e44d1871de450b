"""gateway.web.counting beside prometheus_client's own metrics: the same text for the same events."""

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gateway.web.counting import Counts, Durations

BOUNDS_S = (0.001, 0.25, 1, 30)


def lines(registry: CollectorRegistry) -> list[str]:
    """What is exposed, but for the time of creation."""
    text = generate_latest(registry).decode()
    return sorted(line for line in text.splitlines() if "_created" not in line)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"))))
def test_counts_read_as_prometheus_counters(events: list[tuple[str, str]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counts = Counts("cxmyd_things", "Things", ("one", "two"), ours)
    counter = Counter("cxmyd_things", "Things", ("one", "two"), registry=theirs)
    for labels in events:
        counts.add(*labels)
        counter.labels(*labels).inc()
    assert lines(ours) == lines(theirs)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(BOUNDS_S) | st.floats(0, 60))))
def test_durations_read_as_a_prometheus_histogram(events: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    durations = Durations("cxmyd_s", "Seconds", label="one", bounds_s=BOUNDS_S, registry=ours)
    histogram = Histogram("cxmyd_s", "Seconds", ("one",), buckets=BOUNDS_S, registry=theirs)
    for label, seconds in events:
        durations.add(label, seconds)
        histogram.labels(label).observe(seconds)
    assert lines(ours) == lines(theirs)
