import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flow.harness import Process, process

Scenario = Callable[[Process, Process], Awaitable[None]]


@pytest.fixture
def run_two(redis_url: str, tmp_path: Path) -> Callable[..., None]:
    """Two processes of one store."""

    def go(scenario: Scenario, **settings: Any) -> None:
        async def main() -> None:
            async with (
                process(redis_url, tmp_path, **settings) as one,
                process(redis_url, tmp_path, **settings) as other,
            ):
                await scenario(one, other)

        asyncio.run(main())

    return go
