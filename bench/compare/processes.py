"""Processes under measurement: started together, ended together, and what they and their children used.

Invariant: whatever is started here ends with the bench. Called by the benches.
"""

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from bench.cluster.nodes import until
from gateway import children

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
END_TIMEOUT_S: Final = 15.0


class Used(NamedTuple):
    """By one process so far, with those of its children that have ended. `rss_mb`: now."""

    name: str
    cpu_s: float
    rss_mb: float


def used(pid: int) -> dict[int, Used]:
    """By a process and all that come from it."""
    found: dict[int, Used] = {}
    waiting = [pid]
    while waiting:
        each = waiting.pop()
        try:
            name, _, rest = Path(f"/proc/{each}/stat").read_text().rpartition(")")
        except OSError:
            continue
        run_ns = 0
        with suppress(OSError):  # one that has ended and is not waited for yet has no more than the first
            for task in Path(f"/proc/{each}/task").iterdir():
                waiting += map(int, (task / "children").read_text().split())
                run_ns += int((task / "schedstat").read_text().split()[0])
        user, system, users, systems, *_ = (int(ticks) / _TICKS_PER_S for ticks in rest.split()[11:15])
        # ticks are coarse, and the finer figure is without threads that have ended
        own_s = max(user + system, run_ns / 1e9)
        rss_mb = int(rest.split()[21]) * os.sysconf("SC_PAGE_SIZE") / 1e6
        found[each] = Used(name.partition("(")[2], own_s + users + systems, rss_mb)
    return found


def cpu_s(pids: Sequence[int]) -> float:
    """User and system seconds of processes and all that come from them."""
    return sum(each.cpu_s for pid in pids for each in used(pid).values())


def machine_cpu_s() -> float:
    """Seconds that all cores were busy, whoever with."""
    user, nice, system, _idle, _wait, irq, softirq, *_ = (
        int(field) / _TICKS_PER_S for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    )
    return user + nice + system + irq + softirq


@contextmanager
def running(
    commands: Sequence[Sequence[str]], log: Path, *, port: int = 0, end_timeout_s: float = END_TIMEOUT_S
) -> Iterator[list[int]]:
    """Their pids. What they say is added to `log`. `port`: the first listens on it before the next starts."""
    with ExitStack() as stack, log.open("ab") as output:
        pids: list[int] = []
        for command in commands:
            if pids and port:
                until(lambda: listens(port), f"{commands[0][0]} does not listen on {port}")
            process = children.spawn(command, output=output)
            stack.callback(children.end, process, timeout_s=end_timeout_s)
            pids.append(process.pid)
        yield pids


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
