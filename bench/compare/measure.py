"""One run: the load, a contender, and what both and Redis used meanwhile. Called by the benches."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.compare import processes
from bench.compare.contenders import LOADSMSC, Contender, Site

LOAD: Final = (sys.executable, "-m", "bench.load.run")
ROOT: Final = Path(__file__).parents[2]
BASE_MSISDN: Final = 8613800000000
SETTLE_S: Final = 0.5
PEER_END_TIMEOUT_S: Final = 1.0
START_TIMEOUT_S: Final = 60.0
REST_S: Final = 31.0
RUN_S: Final = 15.0
HALF_S: Final = 3.0
RETRY_MS: Final = 250
NOT_RIGHT: Final = ("missing", "not_started", "duplicates", "stray", "wrong_text", "bad_pdus", "unknown_acks")


@dataclass(frozen=True)
class Run:
    """`found`: the load's report. CPU seconds from the last bind to the report; `rss_mb`, then, and CPU of
    each process of the contender, children too; `foreign_cores`: busy with something else meanwhile.
    """

    found: dict[str, Any]
    cpu_s: float
    redis_cpu_s: float
    load_cpu_s: float
    foreign_cores: float
    each_cpu_s: list[float]
    each_rss_mb: list[float]

    @property
    def cpu_us(self) -> float:
        """Microseconds for each answer."""
        answers: int = self.found["answers"]
        return 1e6 * self.cpu_s / max(1, answers)

    @property
    def wrong(self) -> int:
        """Lost, twice, of wrong text, to nobody or malformed; what was refused is not."""
        counted: int = sum(self.found.get(name, 0) for name in NOT_RIGHT) - self.found["nacked"]
        return counted


class Numbers:
    """The subscribers take turns: a number that texts the same again within half a minute is taken for a
    redelivery by ours.
    """

    def __init__(self, subscribers: int) -> None:
        self._subscribers = subscribers
        self._next = 0
        self._taken: list[tuple[range, float]] = []

    def take(self, contender: Contender, messages: int) -> tuple[int, int]:
        """The first of so many numbers, or of as many as there are; and how many. May wait."""
        if not contender.is_ours:
            return BASE_MSISDN, min(messages, self._subscribers)
        messages = min(messages, self._subscribers)
        if self._next + messages > self._subscribers:
            self._next = 0
        chosen = range(self._next, self._next + messages)
        self._next = chosen.stop
        for other, at_s in self._taken:
            if chosen.start < other.stop and other.start < chosen.stop:
                time.sleep(max(0.0, at_s + REST_S - time.monotonic()))
        now_s = time.monotonic()
        self._taken = [each for each in self._taken if each[1] > now_s - REST_S]
        # the last of them texts later than the first
        self._taken.append((chosen, now_s + RUN_S))
        return BASE_MSISDN + chosen.start, messages


def load(
    site: Site,
    redis_pids: Sequence[int],
    contender: Contender,
    base: int,
    messages: int,
    *,
    options: Sequence[str] = (),
) -> Run:
    """By the project's own load."""
    command = [*LOAD, str(site.smpp), "--settle", str(SETTLE_S)]
    command += ["--text", "|".join(contender.texts), "--bind-timeout", str(START_TIMEOUT_S)]
    if contender.expects:
        command += ["--expect", "|".join(contender.expects)]
    return _run(site, redis_pids, contender, [*command, *_numbers(base, messages), *options], "bound")


def loadsmsc(
    site: Site,
    redis_pids: Sequence[int],
    contender: Contender,
    base: int,
    messages: int,
    *,
    options: Sequence[str] = (),
) -> Run:
    """The same by the independent load."""
    command = [str(LOADSMSC / "loadsmsc"), str(site.smpp), "--dialog", "|".join(contender.texts)]
    if contender.common:
        command += ["--expect", contender.common]
    return _run(
        site, redis_pids, contender, [*command, *_numbers(base, messages), "--verbose", *options], "bind "
    )


def _numbers(base: int, messages: int) -> list[str]:
    """What is refused is sent again, as an SMSC does."""
    retry = ["--retry", str(RETRY_MS)]
    return ["--base", str(base), "--messages", str(messages), "--timeout", "60", *retry]


def _run(site: Site, redis_pids: Sequence[int], contender: Contender, command: list[str], sign: str) -> Run:
    """`sign`: how the line on stderr begins that says that a bind, the last one too, is there."""
    log = site.folder / "contender.log"
    log.write_bytes(b"")
    command += ["--binds", str(contender.binds)]
    with started(command) as generator:
        assert generator.stdout is not None
        assert generator.stderr is not None
        line = generator.stderr.readline()  # it listens
        end_timeout_s = processes.END_TIMEOUT_S if contender.is_ours else PEER_END_TIMEOUT_S
        with processes.running(
            contender.commands, log, port=contender.port, end_timeout_s=end_timeout_s
        ) as pids:
            while line and not line.startswith(sign):
                line = generator.stderr.readline()
            before = [processes.cpu_s(each) for each in (pids, redis_pids, [generator.pid])]
            busy_s, started_s = processes.machine_cpu_s(), time.monotonic()
            by_process = {pid: each for root in pids for pid, each in processes.used(root).items()}
            report = generator.stdout.readline()
            after = [processes.cpu_s(each) for each in (pids, redis_pids, [generator.pid])]
            busy_s, wall_s = processes.machine_cpu_s() - busy_s, time.monotonic() - started_s
            at_end = {pid: each for root in pids for pid, each in processes.used(root).items()}
            generator.communicate()
    if not report or json.loads(report)["end"] == "no_bind":
        said = log.read_text(errors="replace")[-2000:]
        raise SystemExit(f"{contender.name} does not bind; it says:\n{said}{line}")
    cpu_s, redis_cpu_s, load_cpu_s = (end - begin for begin, end in zip(before, after, strict=True))
    return Run(
        json.loads(report),
        cpu_s,
        redis_cpu_s,
        load_cpu_s,
        max(0.0, busy_s - cpu_s - redis_cpu_s - load_cpu_s) / wall_s,
        [each.cpu_s - by_process[pid].cpu_s for pid, each in at_end.items() if pid in by_process],
        [each.rss_mb for each in at_end.values()],
    )


@contextmanager
def started(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    """A load, which says on stderr that it listens, and reports on stdout."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate()


@dataclass(frozen=True)
class Figures:
    """Of a contender in one round. CPU in seconds for 1,000 answers; `foreign_cores`: in the worst of its
    runs; `loadsmsc_...`: by the other load, its latency of ours only.
    """

    answers_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_s_per_1000: float
    redis_cpu_s_per_1000: float
    load_cpu_s_per_1000: float
    rss_mb: float
    foreign_cores: float
    refused: int  # for the time being, and sent again
    wrong: int
    loadsmsc_per_s: float
    loadsmsc_p99_ms: float
    loadsmsc_wrong: int


def measure(site: Site, redis_pids: Sequence[int], contender: Contender, numbers: Numbers) -> Figures:
    """Closed loop, half that rate in an open loop, and by the other load the closed loop, of ours both."""
    closed = load(site, redis_pids, contender, *numbers.take(contender, contender.messages))
    rate = max(1.0, closed.found["answers_per_s"] / 2)
    at_half, messages = ["--rate", str(rate)], int(rate * HALF_S)
    half = load(site, redis_pids, contender, *numbers.take(contender, messages), options=at_half)
    judged = [loadsmsc(site, redis_pids, contender, *numbers.take(contender, contender.messages))]
    if contender.is_ours:
        taken = numbers.take(contender, messages)
        judged.append(loadsmsc(site, redis_pids, contender, *taken, options=at_half))
    answers = max(1, closed.found["answers"]) / 1000
    return Figures(
        closed.found["answers_per_s"],
        half.found["lat_ms"]["p50"],
        half.found["lat_ms"]["p99"],
        closed.cpu_s / answers,
        closed.redis_cpu_s / answers,
        closed.load_cpu_s / answers,
        sum(closed.each_rss_mb),
        max(each.foreign_cores for each in (closed, half, *judged)),
        closed.found["deliver_retried"] + half.found["deliver_retried"],
        closed.wrong + half.wrong,
        judged[0].found["answers_per_s"],
        judged[-1].found["lat_ms"]["p99"] if contender.is_ours else 0.0,
        sum(each.wrong for each in judged),
    )
