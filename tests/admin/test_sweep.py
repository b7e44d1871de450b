"""`cxmyd sweep`: the operator's own sweep."""

import json

import redis

from location_store.sweep import SWEPT_KEY
from tests.admin.conftest import Desk


def swept(desk: Desk, *options: str) -> dict[str, int]:
    found: dict[str, int] = json.loads(desk.good("sweep", "--json", *options))
    return found


def test_all_or_some_partitions(desk: Desk, redis_url: str) -> None:
    """All by default; of those that are asked for, with --every, only what was not swept lately."""
    assert swept(desk)["partitions"] == 1024
    assert swept(desk, "--partitions", "10-19")["partitions"] == 10
    assert swept(desk, "--every", "1")["partitions"] == 0
    with redis.Redis.from_url(redis_url) as client:
        client.hset(SWEPT_KEY.decode(), "7", 1)
    assert swept(desk, "--every", "1", "--partitions", "7")["partitions"] == 1
    assert "partitions" in desk.good("sweep", "--partitions", "7")


def test_wrong_partitions(desk: Desk) -> None:
    """Wrong usage, with the range that there is."""
    for wrong in ("1024", "5-1024", "5-4", "x", "-1"):
        result = desk.run("sweep", "--partitions", wrong)
        assert result.exit_code == 2
    assert "0-1023" in result.output or "like 0-511" in result.output


def test_one_sweep_at_a_time(desk: Desk, redis_url: str) -> None:
    """The second one says who is at it."""
    with redis.Redis.from_url(redis_url) as client:
        client.set("cxmyd:turn:sweep/0-1023", "elsewhere x")
    assert "another sweep is at work on elsewhere" in desk.refused("sweep")
