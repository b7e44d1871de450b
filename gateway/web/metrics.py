"""Counters and gauges of one gateway process (Prometheus), and its JSON events.

Invariant: labels are carriers, links, results and reasons, all from the configuration or from our own
words; never a number, a text or a city.
"""

import time
from typing import Any

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from gateway.web.counting import Links, counts, durations
from gateway.web.rates import Rate

_DELIVERY_BUCKETS_S = (1, 2, 5, 10, 30, 60, 300, 1800, 3600, 6 * 3600, 24 * 3600, 48 * 3600)
_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

log = structlog.get_logger("cxmyd")


class Metrics:
    """The flow's `Recorder`, and the links' counters."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.ended_total = counts(
            "cxmyd_messages", "Messages by how they ended", ("carrier", "result", "reason"), registry
        )
        self.seconds = durations(
            "cxmyd_answer_seconds",
            "From the message to its accepted answer",
            label="carrier",
            bounds_s=_BUCKETS_S,
            registry=registry,
        )
        self.parked_total = Counter(
            "cxmyd_parked", "Messages put into the park", ("carrier", "reason"), registry=registry
        )
        self.failures = Counter(
            "cxmyd_failures", "Errors while handling messages", ("where", "kind"), registry=registry
        )
        self.guessing_total = Counter(
            "cxmyd_guessing_alarms", "Same wrong digits on many numbers", ("carrier",), registry=registry
        )
        self.not_queries_total = counts(
            "cxmyd_not_queries", "Requests that were no queries, by kind", ("route", "kind"), registry
        )
        self.long_messages = Counter(
            "cxmyd_long_messages",
            "Parts kept and refused, long messages joined and given up",
            ("result",),
            registry=registry,
        )
        self.submits = counts(
            "cxmyd_submit_status", "Responses to what we sent, by status", ("link", "status"), registry
        )
        self.deliveries = counts(
            "cxmyd_deliveries",
            "Parts of answers by the states they reached; submitted: accepted by the SMSC",
            ("link", "state"),
            registry,
        )
        self.undecided = Gauge(
            "cxmyd_deliveries_waiting",
            "Parts accepted today and in the two days before whose end is not known",
            ("link",),
            registry=registry,
        )
        self.delivery_seconds = durations(
            "cxmyd_delivery_seconds",
            "From the acceptance of a part to the receipt of its end",
            label="link",
            bounds_s=_DELIVERY_BUCKETS_S,
            registry=registry,
        )
        self.receipts = counts(
            "cxmyd_receipts", "Receipts by what they were good for", ("link", "result"), registry
        )
        self.reloads = Counter(
            "cxmyd_config_reloads", "Reloads of the configuration by result", ("result",), registry=registry
        )
        self.park = Gauge(
            "cxmyd_park_entries", "Parked messages, waiting or dead", ("route", "state"), registry=registry
        )
        self.not_parked = counts(
            "cxmyd_not_parked", "Messages that could not be parked, by reason", ("route", "reason"), registry
        )
        self.park_losses = counts(
            "cxmyd_park_lost", "Parked messages that the store has lost", ("route",), registry
        )
        self.binds = Gauge("cxmyd_binds", "Sessions bound", ("link",), registry=registry)
        self.links = Links(registry)
        self.store_up = Gauge("cxmyd_store_up", "Whether Redis answers", registry=registry)
        self.swept = Gauge(
            "cxmyd_swept_timestamp_seconds",
            "When the partition that waits longest was swept; 0: not all were yet",
            registry=registry,
        )
        self.limit = Gauge("cxmyd_messages_limit", "Messages that may be under way now", registry=registry)
        self.loop_lag = Gauge(
            "cxmyd_loop_lag_seconds",
            "Worst delay of the event loop in the last 10 to 20 seconds",
            registry=registry,
        )
        # What a leak would make grow; memory and file descriptors are the process collector's.
        self.tasks = Gauge("cxmyd_tasks", "Tasks of the event loop", registry=registry)
        self.timers = Gauge("cxmyd_timers", "Timers of the links that are due later", registry=registry)
        ProcessCollector(registry=registry)
        self.answers = Rate()

    def ended(self, carrier: str, result: str, reason: str, elapsed_s: float) -> None:
        self.ended_total.add((carrier, result, reason))
        self.answers.add(time.monotonic())
        if result == "done":
            self.seconds.add(carrier, elapsed_s)
        else:
            log.warning("message.ended", carrier=carrier, result=result, reason=reason)

    def endings(self) -> list[dict[str, Any]]:
        """How messages ended since the start: carrier, result, reason, count."""
        return [
            {"carrier": carrier, "result": result, "reason": reason, "count": count}
            for (carrier, result, reason), count in sorted(self.ended_total.counts.items())
        ]

    def park_lost(self, route: str, messages: int) -> None:
        self.park_losses.add((route,), messages)
        log.error("park.lost", route=route, messages=messages)

    def could_not_park(self, route: str, reason: str) -> None:
        self.not_parked.add((route, reason))

    def unparked(self) -> list[dict[str, Any]]:
        """What could not be parked since the start: route, reason, count."""
        return [
            {"route": route, "reason": reason, "count": count}
            for (route, reason), count in sorted(self.not_parked.counts.items())
        ]

    def not_a_query(self, route: str, kind: str, count: int) -> None:
        self.not_queries_total.add((route, kind), count)

    def long_message(self, result: str, count: int) -> None:
        self.long_messages.labels(result).inc(count)

    def submitted(self, link: str, status: str) -> None:
        self.submits.add((link, status))

    def delivery(self, link: str, state: str) -> None:
        self.deliveries.add((link, state))

    def delivery_ended(self, link: str, elapsed_s: float) -> None:
        self.delivery_seconds.add(link, elapsed_s)

    def receipt(self, link: str, result: str) -> None:
        self.receipts.add((link, result))

    def parked(self, carrier: str, reason: str) -> None:
        self.parked_total.labels(carrier, reason).inc()

    def guessing(self, carrier: str, subscribers: int) -> None:
        self.guessing_total.labels(carrier).inc()
        log.warning("guessing.alarm", carrier=carrier, subscribers=subscribers)

    def failed(self, where: str, error: BaseException) -> None:
        kind = type(error).__name__
        first = self.failures.labels(where, kind)._value.get() == 0
        self.failures.labels(where, kind).inc()
        if first or where == "message":  # the store's own up and down events tell the rest
            log.error("flow.failed", where=where, kind=kind, error=str(error) if where != "message" else kind)
