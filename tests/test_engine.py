"""The embedded engine: started when needed, shared, durable, and never left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from gateway import engine

BUNDLED = "bundled"


@pytest.fixture(autouse=True)
def _no_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


@pytest.fixture(params=["installed", BUNDLED])
def any_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once with the redis-server of this machine, once as if it had none."""
    if request.param == BUNDLED:
        monkeypatch.setenv("PATH", "/nonexistent")


def _client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url)


def _pid(url: str) -> int:
    with _client(url) as client:
        return int(client.info("server")["process_id"])


def _wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _gone(pid: int) -> bool:
    """Ended, or a zombie whose parent has not asked yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.fixture
def first_user(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses the engine in tmp_path until its stdin ends."""
    script = (
        f"from gateway import engine; import pathlib; e = engine.start(pathlib.Path({str(tmp_path)!r}))\n"
    )
    script += "print(e.url, flush=True); input(); e.stop()"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


@pytest.mark.usefixtures("any_server")
def test_data_outlives_the_engine(tmp_path: Path) -> None:
    """What one command wrote the next one finds, though the engine ended in between."""
    with engine.opened("embedded", tmp_path) as url, _client(url) as client:
        client.set("key", "value")
        pid = _pid(url)
    assert _gone(pid)
    with engine.opened("embedded", tmp_path) as url, _client(url) as client:
        assert client.get("key") == b"value"


@pytest.mark.usefixtures("any_server")
def test_the_engine_is_reached_by_its_owner_only(tmp_path: Path) -> None:
    """A unix socket in a folder closed to others, and no TCP port."""
    with engine.opened("embedded", tmp_path) as url, _client(url) as client:
        assert client.config_get("port") == {"port": "0"}
        assert client.config_get("hash-max-listpack-value") == {"hash-max-listpack-value": "512"}
        assert (tmp_path / "engine").stat().st_mode & 0o777 == 0o700
        assert (tmp_path / "engine" / "engine.sock").stat().st_mode & 0o077 == 0


def test_another_url_is_used_as_it_is(tmp_path: Path) -> None:
    """Only "embedded" starts anything."""
    with engine.opened("redis://example/3", tmp_path) as url:
        assert url == "redis://example/3"
    assert list(tmp_path.iterdir()) == []


def test_redis_url_takes_the_place_of_an_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """REDIS_URL names a server that is not ours: nothing is started."""
    monkeypatch.setenv("REDIS_URL", "redis://example/3")
    with engine.opened("embedded", tmp_path) as url:
        assert url == "redis://example/3"
    assert list(tmp_path.iterdir()) == []


def test_two_users_share_one_engine_and_the_last_ends_it(
    tmp_path: Path, first_user: subprocess.Popen[str]
) -> None:
    """The one who started it may leave first."""
    assert first_user.stdout is not None
    url = first_user.stdout.readline().strip()
    mine = engine.start(tmp_path)
    assert mine.url == url
    first_user.communicate("\n")
    pid = _pid(url)
    assert mine.running
    mine.stop()
    assert _gone(pid)


def test_a_killed_user_leaves_nothing_running(tmp_path: Path, first_user: subprocess.Popen[str]) -> None:
    """kill -9 of the only user ends the engine."""
    assert first_user.stdout is not None
    pid = _pid(first_user.stdout.readline().strip())
    first_user.kill()
    _wait_until(lambda: _gone(pid))
    with engine.opened("embedded", tmp_path):
        pass


def test_a_user_learns_that_the_engine_has_ended(tmp_path: Path) -> None:
    """The server killed: `running` turns false, and a new start brings it back with its data."""
    mine = engine.start(tmp_path)
    os.kill(_pid(mine.url), signal.SIGKILL)
    _wait_until(lambda: not mine.running)
    mine.stop()
    again = engine.start(tmp_path)
    assert again.running
    again.stop()


def test_many_start_at_once_and_get_the_same_engine(tmp_path: Path) -> None:
    """A crowd of processes on a folder without an engine: one is started."""
    script = "import pathlib, sys; from gateway import engine; e = engine.start(pathlib.Path(sys.argv[1]))\n"
    script += (
        "import redis; c = redis.Redis.from_url(e.url); print(c.info('server')['process_id'], flush=True)\n"
    )
    script += "input(); c.close(); e.stop()"
    command = [sys.executable, "-c", script, str(tmp_path)]
    crowd = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    pids = set()
    for process in crowd:
        assert process.stdout is not None
        pids.add(process.stdout.readline())
    for process in crowd:
        process.communicate("\n")
    assert len(pids) == 1


def test_a_long_path_does_not_matter(tmp_path: Path) -> None:
    """A unix socket's path holds about a hundred bytes; a folder's may be longer."""
    deep = tmp_path / ("d" * 90) / "engine"
    mine = engine.start(deep)
    with _client(mine.url) as client:
        assert client.ping()
    mine.stop()
    assert (deep / "appendonlydir").is_dir()


def test_a_server_that_is_too_old_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis 6 on the PATH is passed over."""
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engine.find_server() != old


def test_a_server_that_does_not_start_leaves_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the program and its last line."""
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\n[ $1 = --version ] && echo v=7.2.0 || { echo no memory; exit 1; }\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(engine.EngineError, match=r"redis-server does not start: no memory"):
        engine.start(tmp_path / "engine")
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="No such file"):
        probe.connect(str(tmp_path / "engine" / "keeper.sock"))


def test_the_demo_refuses_a_cluster() -> None:
    """It empties its database, and that is one node's: one line, not a fault of ours."""
    borrowed = engine.Engine("redis+cluster://127.0.0.1:1", None, None)
    with pytest.raises(engine.EngineError, match="REDIS_URL names cannot be used"), engine.emptied(borrowed):
        pass
