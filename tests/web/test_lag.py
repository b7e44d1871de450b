"""The lag of the event loop, as the metric shows it."""

import asyncio
import time

from gateway.web.lag import LoopLag


def test_what_blocks_the_loop_is_seen() -> None:
    """Also a while later, so that whoever looks every few seconds misses nothing."""

    async def main() -> None:
        lag = LoopLag(asyncio.get_running_loop())
        lag.start()
        await asyncio.sleep(0.01)
        assert lag.worst_s == 0
        time.sleep(0.2)
        await asyncio.sleep(0.01)
        assert lag.worst_s > 0.1
        await asyncio.sleep(0.1)
        assert lag.worst_s > 0.1

    asyncio.run(main())
