"""gateway.web.counting beside prometheus_client's own metrics: the same text for the same events."""

from datetime import UTC, datetime
from math import inf

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from gateway.web.counting import Health, Links, counts, durations

BOUNDS_S = (0.001, 0.25, 1, 30)


def lines(registry: CollectorRegistry) -> list[str]:
    """What is exposed, but for the time of creation."""
    text = generate_latest(registry).decode()
    return sorted(line for line in text.splitlines() if "_created" not in line)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"))))
def test_counts_read_as_prometheus_counters(events: list[tuple[str, str]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    counted = counts("cxmyd_things", "Things", ("one", "two"), ours)
    counter = Counter("cxmyd_things", "Things", ("one", "two"), registry=theirs)
    for labels in events:
        counted.add(labels)
        counter.labels(*labels).inc()
    assert lines(ours) == lines(theirs)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(BOUNDS_S) | st.floats(0, 60))))
def test_durations_read_as_a_prometheus_histogram(events: list[tuple[str, float]]) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    measured = durations("cxmyd_s", "Seconds", label="one", bounds_s=BOUNDS_S, registry=ours)
    histogram = Histogram("cxmyd_s", "Seconds", ("one",), buckets=BOUNDS_S, registry=theirs)
    for label, seconds in events:
        measured.add(label, seconds)
        histogram.labels(label).observe(seconds)
    assert lines(ours) == lines(theirs)


def test_links_are_read_anew_each_time() -> None:
    """Who has no rate or no certificate has no line of it; a rate without limit is +Inf."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    links = Links(ours)
    links.look = lambda: [
        Health("one", {"received": 3, "sent": 2, "lost": 0}, inf, None),
        Health("127.0.0.1:2775", {"sent": 1}, None, datetime(2026, 2, 1, tzinfo=UTC)),
    ]
    pdus = Counter("cxmyd_link_pdus", "PDUs", ("link", "direction"), registry=theirs)
    for link, direction, count in (("one", "received", 3), ("one", "sent", 2), ("127.0.0.1:2775", "sent", 1)):
        pdus.labels(link, direction).inc(count)
    events = Counter(
        "cxmyd_link_events", "Of sessions and PDUs, by event", ("link", "event"), registry=theirs
    )
    events.labels("one", "lost")
    Gauge("cxmyd_link_rate_per_s", "Rate allowed now", ("link",), registry=theirs).labels("one").set(inf)
    expires = Gauge(
        "cxmyd_tls_certificate_expires_timestamp_seconds",
        "End of our certificate",
        ("link",),
        registry=theirs,
    )
    expires.labels("127.0.0.1:2775").set(1_769_904_000)
    assert lines(ours) == lines(theirs)
    links.look = tuple
    assert all(line.startswith("#") for line in lines(ours))
