"""One service and one recorder for all foreign judges: data is brought in once, and every octet the gateway
sent them is kept for tshark, whose tests come last.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RedisServer
from tests.foreign.recorder import Recorder
from tests.foreign.service import Service


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
