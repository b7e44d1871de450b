"""The parent of `serve --workers N`, with workers that do next to nothing: what it does when they die, hang,
or do not end.

The supervisor runs in a process of its own, since it forks and takes signals.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway import children
from tests.foreign.processes import until

_PROGRAM = """
import os, signal, sys, time
from gateway import logs, supervisor
from gateway.workers import Workers

logs.setup()
supervisor.HUNG_S, supervisor.GRACE_S, supervisor.READY_S, supervisor.FRESH_S = {hung_s}, 0.2, 5.0, 1.0

def say(line):  # at one go, since all write into one file
    os.write(1, line.encode() + bytes([10]))

class Service:
    drain_s = 0.3
    renewed = 0

    def run(self, me):
        ended = []
        signal.signal(signal.SIGTERM, lambda *_: ended.append(1))
        say(f"start {{me.index}} {{os.getpid()}} {{self.renewed}}")
        me.started()
        while not (ended and {ends}):
            me.alive(ready={ready}, text="")
            for word in me.parent.receive():
                say(f"told {{me.index}} {{word['reload']}}")
            time.sleep(0.02)
        me.left({{"unanswered": 1, "parked": 2, "put_off": 0, "waiting": {{"mobile": 3}}}})

    def tick(self):
        pass

    def reload(self):
        return {{"reload": "done"}}

    def renew(self):
        self.renewed += 1
        return True

    def restore(self):
        self.renewed -= 1

supervisor.supervise(3, Service())
"""


class Supervised:
    """A supervisor with three workers; `said` are the words of its log and of the workers."""

    def __init__(
        self, folder: Path, hung_s: float, ends: str, ready: str, environment: dict[str, str]
    ) -> None:
        self._file = folder / "output"
        program = _PROGRAM.format(hung_s=hung_s, ends=ends, ready=ready)
        with self._file.open("wb") as output:
            self.process = children.spawn(
                [sys.executable, "-c", program], output=output, environment=environment
            )

    def lines(self, beginning: str) -> list[str]:
        lines = self._file.read_text(encoding="utf-8").split("\n")[:-1]  # whole ones
        return [line for line in lines if line.startswith(beginning)]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [event for event in map(json.loads, self.lines("{")) if event["event"] == name]

    def starts(self, index: int) -> list[int]:
        """The process ids that a worker has had."""
        return [int(line.split()[2]) for line in self.lines(f"start {index} ")]


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Callable[..., Supervised]]:
    running: list[Supervised] = []

    def start(
        *,
        hung_s: float = 30.0,
        ends: str = "True",
        ready: str = "True",
        environment: dict[str, str] | None = None,
    ) -> Supervised:
        running.append(Supervised(tmp_path, hung_s, ends, ready, environment or {}))
        until(lambda: all(running[-1].starts(index) for index in range(3)))
        return running[-1]

    yield start
    for one in running:
        children.end(one.process, timeout_s=10)


def test_a_worker_that_dies_again_and_again_waits_longer_and_longer_and_alone(
    supervised: Callable[..., Supervised],
) -> None:
    """kill -9: the pauses of one grow and are its own; another that dies meanwhile is back at once."""
    parent = supervised()
    for number in range(4):
        until(lambda: len(parent.starts(1)) == number + 1)  # noqa: B023 - called before the next turn
        os.kill(parent.starts(1)[-1], signal.SIGKILL)
    until(lambda: len(parent.events("worker.died")) == 4)
    pauses_s = [event["again_in_s"] for event in parent.events("worker.died")]
    assert pauses_s == [0.1, 0.2, 0.4, 0.8]
    os.kill(parent.starts(2)[0], signal.SIGKILL)
    until(lambda: len(parent.starts(2)) == 2)
    assert len(parent.starts(1)) == 4  # still in its pause
    assert len(parent.starts(0)) == 1
    until(lambda: len(parent.starts(1)) == 5)


def test_sigterm_ends_though_a_worker_does_not(supervised: Callable[..., Supervised]) -> None:
    """One that hangs beyond its budget is killed, the others' counts are told, and the status says so."""
    parent = supervised(ends="me.index != 1")
    parent.process.terminate()
    assert parent.process.wait(10) == 1
    (stopped,) = parent.events("workers.stopped")
    assert stopped["killed"] == [1]
    assert (stopped["unanswered"], stopped["parked"], stopped["waiting"]) == (2, 4, {"mobile": 3})


def test_sigterm_in_the_pause_of_a_worker_ends_at_once(supervised: Callable[..., Supervised]) -> None:
    parent = supervised()
    for number in range(5):  # the fifth pause is 1.6 s
        until(lambda: len(parent.starts(1)) == number + 1)  # noqa: B023 - called before the next turn
        os.kill(parent.starts(1)[-1], signal.SIGKILL)
    until(lambda: len(parent.events("worker.died")) == 5)
    began_s = time.monotonic()
    parent.process.terminate()
    assert parent.process.wait(10) == 0
    assert time.monotonic() - began_s < 1.5
    assert len(parent.starts(1)) == 5


def test_a_worker_whose_loop_stands_still_is_replaced(supervised: Callable[..., Supervised]) -> None:
    parent = supervised(hung_s=1.0)
    stopped = parent.starts(0)[0]
    os.kill(stopped, signal.SIGSTOP)
    until(lambda: len(parent.starts(0)) == 2)
    assert [event["why"] for event in parent.events("worker.killed")] == ["it hung"]
    assert len(parent.starts(1)) == len(parent.starts(2)) == 1


def test_sighup_tells_all_the_same(supervised: Callable[..., Supervised]) -> None:
    parent = supervised()
    parent.process.send_signal(signal.SIGHUP)
    until(lambda: sorted(parent.lines("told")) == [f"told {index} done" for index in range(3)])


def test_sigusr2_replaces_one_after_the_other(supervised: Callable[..., Supervised]) -> None:
    parent = supervised()
    parent.process.send_signal(signal.SIGUSR2)
    until(lambda: parent.events("workers.replaced"))
    assert [event["worker"] for event in parent.events("worker.replaced")] == [0, 1, 2]
    assert [line.split()[1::2] for line in parent.lines("start")[3:]] == [["0", "1"], ["1", "1"], ["2", "1"]]


def test_replacing_stops_at_the_first_that_does_not_get_ready(supervised: Callable[..., Supervised]) -> None:
    """It dies: the others stay, and it starts again under what was before."""
    parent = supervised(ready="not self.renewed or os._exit(7)")
    parent.process.send_signal(signal.SIGUSR2)
    until(lambda: len(parent.starts(0)) == 3)
    assert [line.split()[3] for line in parent.lines("start 0")] == ["0", "1", "0"]
    assert len(parent.starts(1)) == len(parent.starts(2)) == 1
    assert parent.events("workers.not_replaced")


def test_systemd_is_told(supervised: Callable[..., Supervised], tmp_path: Path) -> None:
    """READY once all workers have started; the watchdog only while all of them turn; RELOADING, STOPPING."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(10)
        environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        parent = supervised(environment=environment)
        heard = _until_told(systemd, "READY=1")
        assert "STATUS=3 of 3 workers ready" in heard or _until_told(systemd, "STATUS=3 of 3 workers ready")
        _until_told(systemd, "WATCHDOG=1")
        os.kill(parent.starts(2)[0], signal.SIGSTOP)
        assert _silent_s(systemd, 8.0) >= 1.5
        os.kill(parent.starts(2)[0], signal.SIGCONT)
        _until_told(systemd, "WATCHDOG=1")
        parent.process.send_signal(signal.SIGHUP)
        reloading = _until_told(systemd, "RELOADING=1")[-1]
        assert int(reloading.partition("MONOTONIC_USEC=")[2].split()[0]) > 0
        _until_told(systemd, "READY=1")
        parent.process.terminate()
        _until_told(systemd, "STOPPING=1")
        assert parent.process.wait(10) == 0


def _until_told(systemd: socket.socket, word: str) -> list[str]:
    heard: list[str] = []
    while not heard or word not in heard[-1]:
        heard.append(systemd.recv(4096).decode())
    return heard


def _silent_s(systemd: socket.socket, within_s: float) -> float:
    """The longest time without a word, at most `within_s` later."""
    longest_s, until_s = 0.0, time.monotonic() + within_s
    systemd.settimeout(2.0)
    while time.monotonic() < until_s:
        began_s = time.monotonic()
        try:
            systemd.recv(4096)
        except TimeoutError:
            return 2.0
        longest_s = max(longest_s, time.monotonic() - began_s)
    return longest_s
