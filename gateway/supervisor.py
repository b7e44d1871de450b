"""`serve --workers N`: processes that share nothing but the store, kept running by a parent that does nothing
else.

Each child is forked before anything is opened, and its code with it: one that is started later runs the same
code under the configuration that was accepted last. A child that dies is started again, each after a pause of
its own; one whose event loop stands still is killed; the children of a parent that dies end too. Invariant:
the parent waits for nothing but its own loop, so that no child keeps it from another, nor from a signal.

SIGTERM and SIGINT drain all and end; SIGHUP gives new rules to all; SIGUSR2 replaces the workers one after
the other, each when the one before is ready.
"""

import ctypes
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from gateway import notify
from gateway.errors import GatewayError
from gateway.workers import FRESH_S, Channel, Workers, summed

log = structlog.get_logger("cxmyd")

_PR_SET_PDEATHSIG = 1
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 10.0
#: Silence after which a worker's event loop counts as hung, and how long one may take to start.
HUNG_S, START_S = 30.0, 60.0
#: A worker that was replaced has to be ready within this, or the others stay as they are.
READY_S = 60.0
#: Beyond the time a drain may take.
GRACE_S = 5.0
_LOOK_S = 1.0
_STOPS = (signal.SIGTERM, signal.SIGINT)
_SIGNALS = (*_STOPS, signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD)


class Service(Protocol):
    """What the workers do, and under which configuration."""

    def run(self, me: Workers) -> None:
        """One worker, in its own process, from its start to its end."""

    def reload(self) -> dict[str, Any]:
        """Read the configuration again; what every worker is to be told."""

    def renew(self) -> bool:
        """Read all of it again, for workers that start from now on; False: it cannot be used."""

    def restore(self) -> None:
        """Back to what was before `renew`."""

    def tick(self) -> None:
        """At least every second, in the parent."""

    @property
    def drain_s(self) -> float:
        """How long a worker takes to end, at the longest."""


@dataclass
class _Worker:
    index: int
    pid: int = 0  # 0: not running
    channel: Channel | None = None
    started_s: float = 0.0
    heard_s: float | None = None
    ready: bool = False
    text: str = ""
    pause_s: float = 0.0
    start_at_s: float = 0.0
    kill_at_s: float | None = None  # it was told to end
    killed: bool = False
    ready_by_s: float = 0.0  # of one that replaces another
    left: list[dict[str, Any]] = field(default_factory=list)

    def silent_s(self, now_s: float) -> float:
        return now_s - (self.started_s if self.heard_s is None else self.heard_s)


def supervise(total: int, service: Service) -> None:
    """Keep `total` workers running until SIGTERM or SIGINT; returns when all have ended. Raises GatewayError
    when one had to be killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="cxmyd-workers-"))
    waking, woken = socket.socketpair()
    waking.setblocking(False)
    woken.setblocking(False)
    supervisor = _Supervisor(total, service, folder, woken)
    previous = {number: signal.signal(number, supervisor.note) for number in _SIGNALS}
    wakeup = signal.set_wakeup_fd(waking.fileno(), warn_on_full_buffer=False)
    try:
        supervisor.run()
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in previous.items():
            signal.signal(number, handler)
        waking.close()
        woken.close()
        shutil.rmtree(folder, ignore_errors=True)


class _Supervisor:
    def __init__(self, total: int, service: Service, folder: Path, woken: socket.socket) -> None:
        self._service = service
        self._folder = folder
        self._woken = woken
        self._workers = [_Worker(index) for index in range(total)]
        self._signals: deque[int] = deque()
        self._stopping = False
        self._said_ready = False
        self._said = ""
        self._pings = bool(os.environ.get("WATCHDOG_USEC"))
        self._looked_s = time.monotonic()
        self._to_replace: deque[_Worker] = deque()
        self._replacing: _Worker | None = None
        self._lefts: list[dict[str, Any]] = []
        self._killed: list[int] = []

    def note(self, number: int, _frame: object) -> None:
        self._signals.append(number)

    def run(self) -> None:
        while not self._stopping or any(worker.pid for worker in self._workers):
            now_s = time.monotonic()
            self._start_due(now_s)
            self._wait(now_s)
            self._service.tick()
            self._forgive_a_pause_of_our_own()
            while self._signals:
                self._signal(self._signals.popleft())
            for worker in self._workers:
                self._listen(worker)
                self._reap(worker)
                self._look_after(worker, time.monotonic())
            self._replace()
            self._tell_systemd()
        log.info("workers.stopped", workers=len(self._workers), killed=self._killed, **summed(self._lefts))
        if self._killed:
            raise GatewayError(
                f"worker {self._killed[0]} did not end within {self._service.drain_s + GRACE_S:g} s and was "
                "killed; what it had not answered is kept by the SMSC"
            )

    def _wait(self, now_s: float) -> None:
        """For a signal, a word of a worker, or a second at the longest."""
        due_s = [worker.start_at_s - now_s for worker in self._workers if not worker.pid]
        timeout_s = _LOOK_S if self._stopping else max(0.0, min(_LOOK_S, *due_s, _LOOK_S))
        channels = [worker.channel for worker in self._workers if worker.channel is not None]
        waiting: list[Any] = [self._woken, *channels]
        readable, _, _ = select.select(waiting, [], [], timeout_s)
        if self._woken in readable:
            self._woken.recv(4096)

    def _forgive_a_pause_of_our_own(self) -> None:
        """Who stood still himself (stopped, swapped out) cannot tell who else did."""
        now_s = time.monotonic()
        if now_s - self._looked_s > FRESH_S:
            for worker in self._workers:
                worker.heard_s = None if worker.heard_s is None else now_s
                worker.started_s = now_s
        self._looked_s = now_s

    # signals

    def _signal(self, number: int) -> None:
        if number in _STOPS:
            self._stop()
        elif number == signal.SIGHUP and not self._stopping:
            notify.tell(*notify.reloading())
            word = self._service.reload()
            for worker in self._workers:
                if worker.channel is not None and not worker.channel.send(word):
                    self._kill(worker, "unreachable")  # it comes back with the rules of the others
            notify.tell(notify.READY)
        elif number == signal.SIGUSR2 and not self._stopping and self._service.renew():
            self._to_replace = deque(self._workers)
            log.info("workers.replacing", workers=len(self._workers))

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._to_replace.clear()
            notify.tell(notify.STOPPING)
        for worker in self._workers:
            self._end(worker)

    def _end(self, worker: _Worker) -> None:
        if worker.pid:
            os.kill(worker.pid, signal.SIGTERM)
            worker.kill_at_s = worker.kill_at_s or time.monotonic() + self._service.drain_s + GRACE_S

    def _kill(self, worker: _Worker, why: str) -> None:
        if worker.killed:  # it takes a moment
            return
        worker.killed = True
        log.error("worker.killed", worker=worker.index, why=why)
        os.kill(worker.pid, signal.SIGKILL)

    # one worker

    def _start_due(self, now_s: float) -> None:
        for worker in self._workers:
            if not worker.pid and not self._stopping and now_s >= worker.start_at_s:
                self._start(worker, now_s)

    def _start(self, worker: _Worker, now_s: float) -> None:
        ours, theirs = Channel.pair()
        me = Workers(worker.index, len(self._workers), self._folder, theirs)
        # A signal between fork and the child's own handlers would be taken by those it inherits, and lost.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        pid = os.fork()
        if pid == 0:
            ours.close()
            _be_child(self._service.run, me)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        theirs.close()
        worker.pid, worker.channel, worker.started_s = pid, ours, now_s
        worker.heard_s, worker.ready, worker.left = None, False, []
        worker.kill_at_s, worker.killed = None, False

    def _listen(self, worker: _Worker) -> None:
        for message in worker.channel.receive() if worker.channel is not None else ():
            worker.heard_s = time.monotonic()
            worker.ready = message.get("ready", worker.ready)
            worker.text = message.get("text", worker.text)
            if "left" in message:
                worker.left = [message["left"]]

    def _reap(self, worker: _Worker) -> None:
        if not worker.pid:
            return
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
        if not pid:
            return
        self._listen(worker)  # its last word
        assert worker.channel is not None, "a running worker has one"
        worker.channel.close()
        told, now_s = worker.kill_at_s is not None, time.monotonic()
        worker.pid, worker.channel, worker.ready, worker.heard_s = 0, None, False, None
        if self._stopping:
            self._lefts += worker.left
            self._killed += [worker.index] * worker.killed
        elif told:  # to make room for its successor
            worker.start_at_s, worker.ready_by_s = now_s, now_s + READY_S
        else:
            self._died(worker, os.waitstatus_to_exitcode(status), now_s)

    def _died(self, worker: _Worker, code: int, now_s: float) -> None:
        lived_s = now_s - worker.started_s
        longer_s = FIRST_PAUSE_S if lived_s > LONGEST_PAUSE_S else worker.pause_s * 2
        worker.pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, longer_s))
        worker.start_at_s = now_s + worker.pause_s
        log.error("worker.died", worker=worker.index, status=code, again_in_s=worker.pause_s)
        if worker is self._replacing:
            self._give_up_replacing(worker, "it died")

    def _look_after(self, worker: _Worker, now_s: float) -> None:
        if not worker.pid:
            return
        if worker.kill_at_s is not None:
            if now_s >= worker.kill_at_s:
                self._kill(worker, "its drain took too long")
        elif worker.silent_s(now_s) > (START_S if worker.heard_s is None else HUNG_S):
            self._kill(worker, "it hung")

    # replacing

    def _replace(self) -> None:
        """One step, where one is due."""
        worker = self._replacing
        if worker is not None:
            if worker.kill_at_s is not None or not worker.pid:
                return  # the old one is ending, the new one about to start
            if worker.ready:
                self._replacing = None
                log.info("worker.replaced", worker=worker.index)
                if not self._to_replace:
                    log.info("workers.replaced", workers=len(self._workers))
            elif time.monotonic() > worker.ready_by_s:
                self._give_up_replacing(worker, "it was not ready in time")
                self._end(worker)
            else:
                return
        if self._to_replace:
            self._replacing = self._to_replace.popleft()
            self._end(self._replacing)
            if not self._replacing.pid:  # it is between two tries: the next one is the new one
                self._replacing.ready_by_s = time.monotonic() + LONGEST_PAUSE_S + READY_S

    def _give_up_replacing(self, worker: _Worker, why: str) -> None:
        """All go on under the configuration from before."""
        log.error("workers.not_replaced", worker=worker.index, why=why)
        self._to_replace.clear()
        self._replacing = None
        self._service.restore()

    # systemd

    def _tell_systemd(self) -> None:
        if not self._said_ready and all(worker.heard_s is not None for worker in self._workers):
            self._said_ready = True
            notify.tell(notify.READY)
        ready = sum(worker.ready for worker in self._workers)
        text = f"{ready} of {len(self._workers)} workers ready"
        others = sorted({worker.text for worker in self._workers if worker.text and not worker.ready})
        text = "; ".join([text, *others])
        if text != self._said:
            self._said = text
            notify.tell(notify.status(text))
        now_s = time.monotonic()
        fresh = all(
            worker.silent_s(now_s) < FRESH_S for worker in self._workers if worker.heard_s is not None
        )
        if self._pings and fresh:
            notify.tell(notify.ALIVE)


def _be_child(run: Callable[[Workers], None], me: Workers) -> None:
    """Never returns: the parent's stack is not ours."""
    code = 1
    try:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        for number in (*_STOPS, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGHUP, signal.SIGUSR2):  # the parent's; a word of it comes by the channel
            signal.signal(number, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        run(me)
        code = 0
    except Exception as error:  # noqa: BLE001 - the boundary of a process: the parent starts another
        log.error("worker.failed", worker=me.index, kind=type(error).__name__, error=str(error))
    finally:
        sys.stderr.flush()
        os._exit(code)
