"""The demo: everything starts, talks, and ends together."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from gateway import engine
from gateway.demo import conversations, ports
from gateway.demo.conversations import Phone
from gateway.demo.parts import PartError, Parts
from gateway.demo.smsc_api import Message
from tests.conftest import RedisServer

CXMYD = Path(sys.executable).with_name("cxmyd")


@pytest.fixture(autouse=True)
def _no_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)


def _processes_of(folder: Path) -> dict[int, str]:
    """The command lines, by process id, of all that run with this folder in their environment."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if str(folder).encode() in (entry / "environ").read_bytes():
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ValueError):  # ended meanwhile, or not a process
            continue
    return found


class Demo:
    """`cxmyd demo` as a process; its temporary files are in `folder`."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
        self.folder = folder
        self.said = ""
        self._process = subprocess.Popen(
            [CXMYD, "demo", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "TMPDIR": str(folder), "COLUMNS": "100", **environment},
        )

    def read_until(self, words: str) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.said += line
            if words in line:
                return
        raise AssertionError(f"{words!r} was not said in:\n{self.said}")

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> int:
        """Its exit status, once everything it started has ended too."""
        said, _ = self._process.communicate(timeout=120)
        self.said += said
        deadline = time.monotonic() + 60
        while left := _processes_of(self.folder):
            assert time.monotonic() < deadline, left
            time.sleep(0.02)
        return self._process.returncode

    def ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"127\.0\.0\.1:(\d+)", self.said)]


@pytest.mark.timeout(180)
def test_once_shows_a_conversation_with_each_carrier_and_ends(tmp_path: Path) -> None:
    """Without a terminal, without an installed Redis: three conversations, status 0, nothing left."""
    demo = Demo(tmp_path, "--once", PATH="/nonexistent", TERM="")
    assert demo.end() == 0, demo.said
    for service in ("10086", "10010", "10001"):
        assert re.search(rf"{service} → \+86\d+ .*\d ms", demo.said), demo.said
    assert demo.said.count("the answer names every place") == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(180)
def test_a_part_that_ends_is_named_and_ends_all_others(tmp_path: Path) -> None:
    """The gateway killed: one clear line with its name, status 1, nothing left running or listening."""
    demo = Demo(tmp_path)
    demo.read_until("Ctrl-C ends all of it")
    listening = demo.ports()
    (gateway,) = [pid for pid, command in _processes_of(tmp_path).items() if command.endswith(" serve ")]
    os.kill(gateway, signal.SIGKILL)
    assert demo.end() == 1
    assert "gateway has ended by itself (signal 9)" in demo.said
    for port in listening:
        with socket.socket() as probe:
            assert probe.connect_ex((ports.HOST, port)) != 0


@pytest.mark.timeout(180)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle of the preparations: all of it ends, status 0."""
    demo = Demo(tmp_path)
    demo.read_until("Start the engine")
    demo.send(number)
    assert demo.end() == 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.timeout(180)
def test_killed_it_leaves_nothing_running(tmp_path: Path) -> None:
    """kill -9: the kernel ends the parts, the engine ends with its last user."""
    demo = Demo(tmp_path)
    demo.read_until("Start the engine")
    demo.send(signal.SIGKILL)
    assert demo.end() == -signal.SIGKILL


def test_a_foreign_database_that_is_not_empty_is_left_alone(
    tmp_path: Path, own_redis: Callable[..., RedisServer]
) -> None:
    """REDIS_URL names somebody's data: refused in one line, nothing written."""
    server = own_redis()
    with server.client() as client:
        client.set("theirs", "1")
        demo = Demo(tmp_path, "--once", REDIS_URL=server.url)
        assert demo.end() == 1
        assert "the database that REDIS_URL names is not empty" in demo.said
        assert client.keys() == [b"theirs"]


def test_what_a_killed_demo_left_is_taken_for_empty(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next demo begins with an empty database, and leaves one."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    server = engine.start(Path("unused"))
    with redis.Redis.from_url(server.url) as client:
        client.set("cxmyd:demo", "left")
        client.set("s:1", "left")
        with engine.emptied(server):
            assert client.keys() == [b"cxmyd:demo"]
        assert client.dbsize() == 0


def test_taken_ports_are_replaced() -> None:
    """A free port is taken as it is, another is chosen for one that is in use or reserved."""
    with socket.socket() as taken:
        taken.bind((ports.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with ports.Reserved([0]) as reserved:
            (free,) = reserved.ports
            with ports.Reserved([free]) as other:
                assert other.ports != [free]
        with ports.Reserved([port, free]) as reserved:
            assert reserved.ports[0] not in (port, free)
            assert reserved.ports[1] == free


def test_a_command_that_fails_leaves_its_last_lines(tmp_path: Path) -> None:
    """The error names the step and holds what it wrote."""
    with (
        engine.start(tmp_path / "engine") as server,
        Parts(tmp_path, server, tmp_path / "none.toml") as parts,
        pytest.raises(PartError, match=r"keys init failed with status 1") as error,
    ):
        parts.run({"keys init": ()})
    assert "none.toml" in error.value.last_lines[-1]


def test_a_conversation_must_name_every_place() -> None:
    """A city that is missing from the last answer is reported."""
    phone = Phone("8613800138000", "1234", "", ("上海市", "北京市"))
    texts = [
        Message(str(n), "mt", "", "", text, 1, None, None) for n, text in enumerate(["上海市", "北京市"])
    ]
    assert conversations.missing(phone, texts) == ["上海市"]
    assert conversations.missing(phone, []) == ["上海市", "北京市"]
