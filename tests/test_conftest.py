"""The fixtures themselves."""

from collections.abc import Callable

import redis

from tests.conftest import RedisServer


def test_redis_url_is_an_empty_real_server(redis_url: str) -> None:
    """A test begins with no keys and may write what it likes."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_redis_url_is_flushed_between_tests(redis_url: str) -> None:
    """What the test above left behind is gone."""
    with redis.Redis.from_url(redis_url) as client:
        assert client.exists("left") == 0


def test_own_redis_can_be_stopped_and_comes_back_on_its_port(own_redis: Callable[..., RedisServer]) -> None:
    """A server of the test's own may go away and come back."""
    server = own_redis("--requirepass", "secret")
    port = server.port
    server.stop()
    server.start()
    assert server.port == port
