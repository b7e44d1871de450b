"""The gateway's calls on a real cluster: by slot, redirections followed, a function library on every node."""

import asyncio
from itertools import count

from gateway.redis.calls import Calls
from gateway.redis.library import LIBRARY, function
from tests.cluster import cluster, move_a_slot  # noqa: F401 - a fixture among them
from tests.conftest import RedisServer, free_port


def test_calls_find_their_node_and_follow_a_slot_that_moves(cluster: list[RedisServer]) -> None:  # noqa: F811
    """Whatever node a key is on: the turn of every partition can be taken, before and after a resharding."""
    one, two = cluster

    async def main() -> None:
        url = f"redis+cluster://127.0.0.1:{free_port()},127.0.0.1:{two.port}"
        calls = Calls(url, library=LIBRARY, timeout_s=2.0)
        assert await calls.wait_up(5)
        tokens = count()

        async def take_all() -> None:
            keys = [b"l:{%d}:x" % partition for partition in range(200)]
            token = f"t{next(tokens)}"
            taken = [calls.call(key, "FCALL", function("own"), 1, key, token, 60_000) for key in keys]
            assert await asyncio.gather(*taken) == [1] * len(keys)
            for key in keys:
                await calls.call(key, "DEL", key)

        await take_all()
        keys = [b"l:{%d}:x" % partition for partition in range(200)]
        for key in keys:
            await calls.call(key, "SET", key, "t")
        assert await asyncio.to_thread(move_a_slot, one, two) > 0
        for key in keys:
            assert await calls.call(key, "GET", key) == b"t"
            await calls.call(key, "DEL", key)
        await take_all()
        await calls.close()

    asyncio.run(main())
