"""What operators see of each link and listener: the rows of /status, and what /metrics reads.

Invariant: everything is read when somebody asks, nothing is counted here; words and numbers are our own or
those of the configuration. Called by `gateway.assembly`.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from math import inf
from typing import Any

from gateway.links.listener import TURNED_AWAY, Listener
from gateway.links.smsc import SmscLink
from gateway.links.tls import Credentials
from gateway.web.counting import Health

#: A certificate that ends sooner is worth a note.
SOON = timedelta(days=30)
#: What a sound peer never sends, and the words for it.
_ODD = {"unexpected": "unexpected", "malformed_responses": "malformed", "padded": "padded"}


def of_link(link: SmscLink, now_s: float) -> dict[str, Any]:
    """Its row of /status."""
    totals, expires = link.totals, _expires(link.credentials)
    address = f"{link.smsc.host}:{link.smsc.port}"
    problem = [f"{address}: {link.last_error}"] if link.last_error else []
    return {
        "name": link.name,
        "carrier": link.smsc.carrier,
        "address": address,
        "bound": link.bound,
        "wanted": link.wanted,
        "ready": link.ready,
        "in_flight": link.in_flight,
        "rate_per_s": None if link.rate_per_s == inf else round(link.rate_per_s, 2),
        "throttled": totals["throttled"],
        "lost": totals["lost"],
        "notes": problem + notes(totals, expires, now_s),
        "problem": link.last_error,
        "certificate_expires": expires and expires.isoformat(),
        "events": totals,
    }


def of_listener(listener: Listener, now_s: float) -> dict[str, Any]:
    """Its row of /status."""
    totals, expires = listener.totals, _expires(listener.credentials)
    silent = [] if listener.listening else ["not listening"]
    return {
        "address": listener.name,
        "listening": listener.listening,
        "clients_bound": listener.bound,
        "lost": totals["lost"],
        "turned_away": sum(totals[event] for event in ("bind_refused", *TURNED_AWAY)),
        "notes": silent + notes(totals, expires, now_s),
        "certificate_expires": expires and expires.isoformat(),
        "events": totals,
    }


def healths(links: Iterable[SmscLink], listeners: Iterable[Listener]) -> Iterator[Health]:
    """For /metrics. A listener's name, an address, is no SMSC's: those have no colon."""
    for each in links:
        yield Health(each.name, each.totals, each.rate_per_s, _expires(each.credentials))
    for one in listeners:
        yield Health(one.name, one.totals, None, _expires(one.credentials))


def summed(*processes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The counts of several processes: rows that are the same but for their `count` are one."""
    counts: Counter[tuple[tuple[str, Any], ...]] = Counter()
    for row in chain.from_iterable(processes):
        counts[tuple((name, value) for name, value in row.items() if name != "count")] += row["count"]
    return [dict(names) | {"count": count} for names, count in sorted(counts.items())]


def _expires(credentials: Credentials | None) -> datetime | None:
    return None if credentials is None else credentials.expires


def notes(totals: dict[str, int], expires: datetime | None, now_s: float) -> list[str]:
    """What is odd about its peers, and of a certificate that has to be replaced."""
    odd = [f"{totals[event]:,} {word}" for event, word in _ODD.items() if totals[event]]
    now = datetime.fromtimestamp(now_s, UTC)
    if expires is None or expires - now >= SOON:
        return odd
    return [*odd, f"certificate {'expires' if expires > now else 'expired'} {expires:%Y-%m-%d}"]
