"""The health of links and listeners, as `cxmyd status` and /metrics show it after real traffic."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import urllib.request
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from gateway.status import SOON, notes
from tests.conftest import free_port
from tests.foreign.test_tls import Authority
from tests.foreign.wire import Wire, bind
from tests.test_deliveries import CXMYD, Gateway, World, until, world  # noqa: F401 - a fixture

LISTEN = """
[[listen]]
port = {port}
clients = [{{ system_id = "{name}", password = "secret", carrier = "plain" }}]
"""
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def test_links(world: World) -> None:  # noqa: F811
    """Over two workers: what the SMSC refused, what it sent that no sound one sends, and which binds were
    lost; nothing that was counted is lost with them.
    """
    with world.gateway("health", "binds = 2\n", workers=2) as gateway:
        assert [row["rate_per_s"] for row in status(gateway)["links"]] == [None, None]
        assert gateway.counted(0, 'cxmyd_link_rate_per_s{link="health"}') == float("inf")
        world.order(refuse_submit={"count": 2, "status": "ESME_RTHROTTLED"})
        world.ask()
        world.order(repeat_response={"count": 1}, damage_deliver={"form": "padding", "count": 1})
        world.ask()
        wanted = {"throttled": 2, "unexpected": 1, "padded": 1, "bound": 4}
        until(lambda: wanted.items() <= events(gateway).items(), lambda: f"{events(gateway)}")
        before = events(gateway)
        world.order(drop={})
        until(lambda: events(gateway)["lost"] == 4 and events(gateway)["bound"] == 8)
        after = events(gateway)
        assert all(after[event] >= count for event, count in before.items())
        for event, count in (wanted | {"bound": 8, "lost": 4}).items():
            metric = f'cxmyd_link_events_total{{event="{event}",link="health"}}'
            assert sum(gateway.counted(worker, metric) for worker in (0, 1)) == count
        pdus = sum(gateway.counted(worker, "cxmyd_link_pdus_total") for worker in (0, 1))
        assert pdus >= after["received"] + after["sent"]
        rows = gateway.status()["links"]
        assert [row["name"] for row in rows] == ["health", "health (worker 1)"]
        assert sum(row["throttled"] for row in rows) == 2
        assert sum(row["lost"] for row in rows) == 4
        assert any(row["rate_per_s"] for row in rows)
        assert sorted(note for row in rows for note in row["notes"]) == ["1 padded", "1 unexpected"]
        shown = on_terminal(gateway, columns=80)
        assert max(map(len, shown.splitlines())) <= 80
        for word in ("rate/s", "throttled", "lost", "2/2", "padded", "unexpected"):
            assert word in shown


def test_listeners(world: World, tmp_path: Path) -> None:  # noqa: F811
    """Who was turned away, whose bind ended, and a certificate that has to be replaced soon."""
    authority = Authority(tmp_path, "authority")
    certificate = authority.issue("gateway")
    plain, secure = free_port(), free_port()
    tls = 'tls = {{ cert = "{cert}", key = "{key}" }}\n'.format(**certificate)
    sections = LISTEN.format(port=plain, name="hub") + LISTEN.format(port=secure, name="secure") + tls
    with world.gateway("listening", sections) as gateway:
        with Wire.to(plain) as wire:
            assert wire.ask(bind("hub", "wrong")).command_status == 0x0D
        with Wire.to(plain) as wire:
            assert wire.ask(bind("hub")).command_status == 0
        until(lambda: status(gateway)["listeners"][0]["lost"] == 1)
        first, second = gateway.status()["listeners"]
        assert (first["turned_away"], first["notes"], first["certificate_expires"]) == (1, [], None)
        assert first["events"]["bind_refused"] == first["events"]["bound"] == 1
        link = f'link="127.0.0.1:{plain}"'
        assert gateway.counted(0, f'cxmyd_link_events_total{{event="bind_refused",{link}}}') == 1
        assert gateway.counted(0, f'cxmyd_link_pdus_total{{direction="sent",{link}}}') == 2
        expires = datetime.fromisoformat(second["certificate_expires"])
        assert timedelta() < expires - datetime.now(UTC) < timedelta(hours=1)
        assert second["notes"] == [f"certificate expires {expires:%Y-%m-%d}"]
        assert gateway.counted(0, "cxmyd_tls_certificate_expires") == expires.timestamp()
        assert "certificate expires" in on_terminal(gateway, columns=100)


@pytest.mark.parametrize(
    ("left", "note"),
    [
        (SOON, []),
        (SOON - timedelta(hours=1), ["certificate expires 2026-03-02"]),
        (timedelta(), ["certificate expired 2026-02-01"]),
        (timedelta(days=-40), ["certificate expired 2025-12-23"]),
    ],
)
def test_a_certificate_is_noted_when_it_ends_soon(left: timedelta, note: list[str]) -> None:
    """And from then on."""
    assert notes(Counter(), NOW + left, NOW.timestamp()) == note


def test_odd_pdus_are_noted_by_their_kind() -> None:
    """Those that were counted."""
    totals = Counter(unexpected=1234, malformed_responses=2, received=9)
    assert notes(totals, None, 0.0) == ["1,234 unexpected", "2 malformed"]


def status(gateway: Gateway) -> dict[str, Any]:
    """What /status says; `cxmyd status` takes its time to start."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.http_port}/status", timeout=30) as page:
        said: dict[str, Any] = json.load(page)
    return said


def events(gateway: Gateway) -> Counter[str]:
    """What all workers have counted."""
    totals: Counter[str] = Counter()
    for row in status(gateway)["links"]:
        totals.update(row["events"])
    return totals


def on_terminal(gateway: Gateway, columns: int) -> str:
    """`cxmyd status` on a terminal of that width."""
    ours, theirs = pty.openpty()
    environment: dict[str, Any] = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    with subprocess.Popen([CXMYD, "-c", gateway.config, "status"], stdout=theirs, env=environment) as process:
        os.close(theirs)
        shown = b""
        try:
            while octets := os.read(ours, 65_536):
                shown += octets
        except OSError:  # Linux's way to say that the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return click.unstyle(shown.decode()).replace("\r", "")
