"""One service and one recorder for all foreign judges: data is brought in once, and every octet the gateway
sent them is kept for tshark, whose tests come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.simulator.smsc import Rules
from tests.conftest import RedisServer
from tests.foreign.processes import Gateway
from tests.foreign.recorder import Recorder
from tests.foreign.service import Service
from tests.simulator.conftest import Running


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of this folder only: what was collected before and behind it stays there."""
    here = Path(__file__).parent
    places = [place for place, item in enumerate(items) if item.path.parent == here]
    ordered = sorted((items[place] for place in places), key=lambda item: item.path.name == "test_tshark.py")
    for place, item in zip(places, ordered, strict=True):
        items[place] = item


@pytest.fixture(scope="package")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The service, filled, on a redis-server of its own: other tests flush the one they share."""
    folder = tmp_path_factory.mktemp("service")
    server = RedisServer(folder)
    server.start()
    service = Service(folder, server.url)
    service.fill()
    yield service
    server.stop()


@pytest.fixture(scope="package")
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture
def smsc() -> Iterator[Running]:
    """A simulated SMSC that sends again soon what was refused."""
    running = Running(rules=Rules(retry_s=0.1))
    yield running
    running.stop()


@pytest.fixture
def gateways(service: Service, smsc: Running) -> Iterator[Callable[..., Gateway]]:
    """Starts `cxmyd serve` with arguments; all are ended after the test."""
    started: list[Gateway] = []

    def start(*arguments: str, redis_url: str = service.redis_url, **options: Any) -> Gateway:
        started.append(Gateway(service.folder, redis_url, smsc, *arguments, **options))
        return started[-1]

    yield start
    for gateway in started:
        gateway.end()
