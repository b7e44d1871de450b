"""Parked queries and the status of a running gateway, from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.redis.keys import park_key
from tests.admin.conftest import Desk
from tests.conftest import free_port

LINK = '[[smsc]]\nname = "mobile-1"\nsystem_id = "x"\ncarrier = "china-mobile"\n'


@pytest.fixture
def linked(make_desk: Callable[[str], Desk], redis_url: str) -> Desk:
    """A desk with one link, mobile-1."""
    made = make_desk(f'[redis]\nurl = "{redis_url}"\n{LINK}')
    made.good("keys", "init")
    return made


def park(client: Any, kind: bytes, entry: str, **more: str) -> None:
    """Put a message on the route as the gateway does; its sealed content matters to nobody here."""
    now_ms = int(time.time() * 1000)
    fields = {"s": "1.2.0123", "t": now_ms, "x": now_ms + 60_000, "c": b"sealed", "h": "0", **more}
    client.xadd(park_key(kind, "mobile-1", 1), fields, id=entry)


def test_parked_list_retry_and_drop(linked: Desk, redis_server: Any) -> None:
    """Waiting and dead ones are listed; a dead one is put back, a waiting one dropped; both on record."""
    with redis_server.client() as client:
        park(client, b"q", "1-1")
        park(client, b"x", "2-1", r="refused", d="1771056000000")
    waiting, dead = linked.objects("parked", "list")
    assert (waiting["state"], dead["state"], dead["reason"]) == ("waiting", "dead", "refused")
    assert linked.objects("parked", "list", "--dead") == [dead]
    assert "refused" in linked.good("parked", "list")
    linked.good("parked", "retry", dead["id"], "--reason", "SMSC mended")
    linked.good("parked", "drop", waiting["id"], "--reason", "too late")
    (left,) = linked.objects("parked", "list")
    assert left["state"] == "waiting"
    assert [record["command"] for record in linked.objects("audit", "tail")] == [
        "parked retry",
        "parked drop",
    ]


def test_parked_all_means_the_dead(linked: Desk, redis_server: Any) -> None:
    """`drop --all` leaves what is waiting."""
    with redis_server.client() as client:
        park(client, b"q", "1-1")
        for entry in ("2-1", "3-1", "4-1"):
            park(client, b"x", entry, r="refused", d="1771056000000")
    assert linked.good("parked", "drop", "--all", "--reason", "old") == "dropped: 3\n"
    assert [entry["state"] for entry in linked.objects("parked", "list")] == ["waiting"]


def test_parked_work_without_a_reason_is_recorded_as_such(linked: Desk, redis_server: Any) -> None:
    """Nobody's data is shown by it, so a reason is asked for but not insisted on."""
    with redis_server.client() as client:
        park(client, b"x", "2-1", r="refused", d="1771056000000")
    assert linked.good("parked", "drop", "--all") == "dropped: 1\n"
    assert linked.objects("audit", "tail")[-1]["reason"] == "none given"


def test_parked_id_that_does_not_exist(linked: Desk) -> None:
    """Refused, with where ids are to be had."""
    assert "parked list" in linked.refused("parked", "retry", "mobile-1/1/x/1-1", "--reason", "x")
    assert "parked list" in linked.refused("parked", "drop", "nonsense", "--reason", "x")


@pytest.fixture
def gateway(make_desk: Callable[[str], Desk], redis_url: str) -> Iterator[Desk]:
    """A gateway that runs in a process of its own, listening for a hub."""
    http, smpp = free_port(), free_port()
    client = '{ system_id = "hub", password = "secret", carrier = "china-unicom" }'
    made = make_desk(
        f'[redis]\nurl = "{redis_url}"\n[http]\nlisten = "127.0.0.1:{http}"\n'
        f"[[listen]]\nport = {smpp}\nclients = [{client}]\n"
    )
    made.good("keys", "init")
    command = [sys.executable, "-m", "gateway.admin.main", "-c", str(made.folder / "gateway.toml"), "serve"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if json.loads(line)["event"] == "gateway.ready":
                    break
            yield made
        finally:
            process.send_signal(signal.SIGTERM)
            process.stderr.read()
        assert process.wait() == 0


def test_status_of_a_running_gateway(gateway: Desk) -> None:
    """As tables and as JSON."""
    found = json.loads(gateway.good("status", "--json"))
    assert found["ready"] is True
    assert "listeners" in found
    shown = gateway.good("status")
    assert "ready" in shown
    assert "listeners" in shown
