"""One service for all foreign judges: data is brought in once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import RedisServer
from tests.foreign.service import Service


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
