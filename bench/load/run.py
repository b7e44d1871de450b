"""The load on sockets: listens, waits for its binds, runs the plan, prints one line of JSON.

Options and fields are those of `bench/loadsmsc` (its README explains them) where they mean the same. One
thread, one epoll, one read and one write a connection and turn. `python -m bench.load.run --help`.
"""

import gc
import json
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from itertools import count
from math import inf
from typing import Any, Final

import click

from bench.load import pdus
from bench.load.conversations import Conversations, Plan
from bench.load.schedule import Schedule, shared
from bench.load.session import Session

READ: Final = 1 << 16
GRAIN_S: Final = 0.05
LEAST_S: Final = 0.0005
"""At high rates a few messages leave together, instead of each with two system calls of its own."""
WRITE_HIGH: Final = 1 << 19


class Connection:
    """A socket, its session, and what is still to be written to it."""

    def __init__(self, taken: socket.socket, session: Session, poll: select.epoll) -> None:
        self.session = session
        self._socket, self._poll = taken, poll
        self.fd = taken.fileno()
        self._out: list[bytes] = []
        self._left = b""
        self.is_closed = False
        poll.register(self.fd, select.EPOLLIN)

    @property
    def room(self) -> bool:
        return len(self._left) < WRITE_HIGH

    def read(self, now_s: float) -> None:
        try:
            data = self._socket.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self.write(self.session.receive(data, now_s))

    def write(self, data: bytes) -> None:
        """At the end of this turn."""
        if data:
            self._out.append(data)

    def flush(self) -> None:
        if self._out:
            data = b"".join((self._left, *self._out)) if self._left or len(self._out) > 1 else self._out[0]
            self._out.clear()
            self._send(data)
        elif self._left:
            self._send(self._left)
        if self.session.ends and not self._left:
            self.close()

    def _send(self, data: bytes) -> None:
        had = bool(self._left)
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close()
            return
        self._left = data[sent:]
        if had != bool(self._left):
            self._poll.modify(self.fd, select.EPOLLIN | (select.EPOLLOUT if self._left else 0))

    def close(self) -> None:
        if not self.is_closed:
            self.is_closed = True
            self._poll.unregister(self.fd)
            self._socket.close()


class Load:
    """The SMSC. `run` until the plan is over or time is."""

    def __init__(
        self,
        listener: socket.socket,
        conversations: Conversations,
        schedule: Schedule,
        *,
        binds: int,
        window: int,
    ) -> None:
        self._listener = listener
        self._poll = select.epoll()
        self._poll.register(listener.fileno(), select.EPOLLIN)
        self._by_fd: dict[int, Connection] = {}
        self._receivers: list[Connection] = []
        self._links = count(1)
        self._ids: Iterator[bytes] = map(b"%010d\0".__mod__, count(1))
        self._conversations, self._schedule = conversations, schedule
        self._binds, self._window = binds, window
        self._start_s = inf
        self._turn = self._first = 0
        self.connects = self.disconnects = 0
        self.stop = False

    def wait_bound(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while len(self._receivers) < self._binds:
            if time.monotonic() > deadline_s or self.stop:
                return False
            self._once(GRAIN_S)
        return True

    def settle(self, seconds: float) -> None:
        """Answer what comes, and send nothing yet."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s and not self.stop:
            self._once(GRAIN_S)

    def run(self, timeout_s: float, linger_s: float) -> str:
        """How it ended."""
        self._start_s = self._conversations.first_s = time.monotonic()
        over_s = inf
        while True:
            now_s = time.monotonic()
            if self._conversations.is_over:
                over_s = min(over_s, now_s)
                if now_s - over_s >= linger_s:
                    return "done_with_nacks" if self._conversations.count["nacked"] else "done"
            if now_s - self._start_s > timeout_s:
                return "timeout"
            if self.stop:
                return "signal"
            if not self._receivers:
                return "disconnected"
            self._once(self._wait_s(now_s))

    def _wait_s(self, now_s: float) -> float:
        """Until the schedule has something that could be sent."""
        if not self._turn:
            return 0.0
        due_s = self._schedule.next_s(self._start_s, self._conversations.started)
        return min(GRAIN_S, max(LEAST_S, due_s - now_s)) if self._has_room() else GRAIN_S

    @property
    def start_s(self) -> float:
        return self._start_s

    def end(self) -> None:
        """Unbind, and wait a little for the answers."""
        self._schedule = self._schedule._replace(messages=0)
        for connection in self._by_fd.values():
            connection.write(connection.session.request(pdus.UNBIND))
            connection.flush()
        deadline_s = time.monotonic() + 0.5
        while self._by_fd and time.monotonic() < deadline_s:
            self._once(GRAIN_S)

    def _has_room(self) -> bool:
        return any(each.session.unacked < self._window and each.room for each in self._receivers)

    def _once(self, wait_s: float) -> None:
        """One turn: read what has come, send what is due."""
        if wait_s < GRAIN_S:  # epoll by itself counts in whole milliseconds
            select.select([self._poll], [], [], wait_s)
            wait_s = 0
        events = self._poll.poll(wait_s)
        now_s = time.monotonic()
        touched = {fd for fd, _ in events}
        calls = self._listener.fileno() in touched
        touched.discard(self._listener.fileno())
        for fd, event in events:
            if fd in touched and event & ~select.EPOLLOUT:
                connection = self._by_fd[fd]
                received = connection.session.takes_messages
                connection.read(now_s)
                if received != connection.session.takes_messages or connection.is_closed:
                    self._note_receivers()
        if now_s >= self._start_s:
            touched.update(self._send(time.monotonic()))
        for fd in touched:
            connection = self._by_fd[fd]
            if not connection.is_closed:
                connection.flush()
            if connection.is_closed:
                del self._by_fd[fd]
                self.disconnects += connection.session.receives and not connection.session.ends
                self._note_receivers()
        if calls:  # last, since it may take the number of one that has just been closed
            self._accept()

    def _note_receivers(self) -> None:
        self._receivers = [
            each for each in self._by_fd.values() if each.session.takes_messages and not each.is_closed
        ]

    def _send(self, now_s: float) -> list[int]:
        """The connections that have something to write."""
        conversations, schedule = self._conversations, self._schedule
        new = max(0, schedule.due(now_s - self._start_s, conversations.started, conversations.open))
        lines = conversations.lines_due(now_s) if schedule.messages else 0
        if not new and not lines:
            return []
        self._turn += 1
        first = self._first % max(1, len(self._receivers))
        receivers = self._receivers[first:] + self._receivers[:first]
        rooms = (self._window - each.session.unacked if each.room else 0 for each in receivers)
        asked = []
        for connection, share in zip(receivers, shared(lines + new, rooms, len(receivers)), strict=False):
            self._first += 1
            if not share:
                continue
            session = connection.session
            data, taken = conversations.next_lines(share, session.link) if lines else (b"", 0)
            fresh = min(share - taken, new)
            if fresh:
                since_s = schedule.since_s(self._start_s, now_s, conversations.started, fresh)
                data += conversations.begin(since_s, session.link)
                new -= fresh
            session.unacked += taken + fresh
            connection.write(data)
            asked.append(connection.fd)
        return asked

    def _accept(self) -> None:
        try:
            taken, _ = self._listener.accept()
        except OSError:
            return
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = (next(self._links) - 1) % 255 + 1
        session = Session(link, self._conversations, self._ids)
        connection = Connection(taken, session, self._poll)
        self._by_fd[connection.fd] = connection
        self.connects += 1


def report(
    end: str, load: Load, conversations: Conversations, schedule: Schedule, window: int
) -> dict[str, Any]:
    """The fields of loadsmsc, and `own_cpu_s_per_1000`."""
    counted, plan = conversations.count, conversations.plan
    wall_s = conversations.last_s - load.start_s if conversations.last_s else 0.0
    took_ms = sorted(each * 1000 for each in conversations.took_s)
    used = resource.getrusage(resource.RUSAGE_SELF)
    answers, turns = counted["answers"], len(took_ms)
    names = ("duplicates", "nacked", "stray", "bad_pdus", "duplicate_parts", "wrong_text", "binds")
    return {
        "end": end,
        "mode": "open" if schedule.rate_per_s else "closed",
        "rate": schedule.rate_per_s,
        "window": window,
        "inflight_cap": schedule.inflight,
        "subscribers": plan.subscribers,
        "turns_per_conversation": len(plan.lines),
        "messages": plan.messages,
        "started": conversations.started,
        "not_started": plan.messages - conversations.started,
        "deliver_retried": counted["retried"],
        "deliver_sm_resp": {f"0x{status:08X}": n for status, n in conversations.acks.items() if n},
        "unacked_at_end": conversations.unacked,
        "unknown_acks": counted["unknown_acks"],
        "submit_sm": counted["submit_sm"],
        "answers": answers,
        "turns_answered": turns,
        "multipart_answers": counted["multipart_answers"],
        "payload_tlv": counted["payload_tlv"],
        "dlr_requested": counted["dlr_requested"],
        "missing": conversations.started - answers,
        "incomplete_multipart": conversations.incomplete_parts,
        **{name: counted[name] for name in names},
        "connects": load.connects,
        "disconnects": load.disconnects,
        "wall_s": round(wall_s, 4),
        "answers_per_s": round(answers / wall_s, 1) if wall_s else 0.0,
        "turns_per_s": round(turns / wall_s, 1) if wall_s else 0.0,
        "max_gap_s": round(conversations.max_gap_s, 3),
        "lat_ms": latencies(took_ms),
        "own_cpu_s": round(used.ru_utime + used.ru_stime, 3),
    }


def latencies(took_ms: list[float]) -> dict[str, float]:
    """Of figures in ascending order."""

    def percentile(share: float) -> float:
        return took_ms[max(0, min(len(took_ms), -int(-share * len(took_ms) // 1)) - 1)] if took_ms else 0.0

    shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999, "max": 1.0}
    mean = sum(took_ms) / len(took_ms) if took_ms else 0.0
    return {"mean": round(mean, 3)} | {name: round(percentile(share), 3) for name, share in shares.items()}


def is_right(found: dict[str, Any]) -> bool:
    """Everything was answered once, rightly, and nothing else came."""
    wrong = ("missing", "not_started", "duplicates", "stray", "wrong_text", "bad_pdus", "unknown_acks")
    return not any(found[name] for name in wrong)


@click.command(context_settings={"show_default": True})
@click.argument("port", type=int)
@click.option("--binds", default=1, help="Receiver-capable binds to wait for.")
@click.option("--messages", default=20_000, help="Conversations.")
@click.option("--base", default=8613800000000, help="The first number.")
@click.option("--subscribers", type=int, help="Distinct numbers; as many as conversations unless given.")
@click.option("--shortcode", default="10086", help="Destination of the deliver_sm.")
@click.option(
    "--text", default="CXMYD", help="What they write; several lines A|B: the next after each answer."
)
@click.option("--ucs2", is_flag=True, help="They write in UCS2.")
@click.option(
    "--ids",
    type=click.IntRange(0, 0xFFFF),
    default=0,
    help="Each message has a receipted_message_id, another one in each run of another number here.",
)
@click.option("--expect", help="What an answer must contain, %m is its recipient; A|B: line by line.")
@click.option("--window", default=100, help="deliver_sm without response on a bind.")
@click.option(
    "--inflight", type=int, help="Conversations at a time; 1000, or unbounded with --rate. 0: no bound."
)
@click.option("--rate", default=0.0, help="Open loop: so many conversations a second.")
@click.option("--retry", default=0.0, help="ms until a refused deliver_sm is sent again; 0: never.")
@click.option("--timeout", default=120.0, help="Seconds from the start.")
@click.option("--linger", default=0.5, help="Seconds to wait for duplicates at the end.")
@click.option("--settle", default=0.0, help="Seconds from the last bind to the first message.")
@click.option("--bind-timeout", default=60.0)
@click.option("--show", default=0, help="So many answers as text.")
def main(port: int, binds: int, window: int, **given: Any) -> None:
    """Text the ESME that binds to PORT, check its answers, print one line of JSON.

    Exit status 0: all answered once and right; 1: something missing, doubled, stray, wrong or malformed; 3:
    nobody bound.
    """
    lines = given["text"].split("|")
    expected = given["expect"].split("|") if given["expect"] else [None]
    plan = Plan(
        given["messages"],
        given["base"],
        min(given["subscribers"] or given["messages"], given["messages"]),
        lines,
        expected * len(lines) if len(expected) == 1 else expected,
        service=given["shortcode"],
        ucs2=given["ucs2"],
        ids=given["ids"],
        retry_s=given["retry"] / 1000,
    )
    if len(plan.expected) != len(lines):
        raise click.UsageError(f"--expect {given['expect']}: one text, or as many as --text has lines")
    inflight = given["inflight"]
    if inflight is None:
        inflight = 0 if given["rate"] else 1000
    conversations = Conversations(plan)
    conversations.show = given["show"]
    schedule = Schedule(plan.messages, given["rate"], inflight)
    with socket.create_server(("127.0.0.1", port), backlog=512) as listener:
        listener.setblocking(False)
        load = Load(listener, conversations, schedule, binds=binds, window=window)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: setattr(load, "stop", True))
        print("listening", file=sys.stderr, flush=True)
        gc.disable()  # a pause of ours would be taken for one of the gateway
        end = "no_bind"
        before = time.process_time()
        if load.wait_bound(given["bind_timeout"]):
            print("bound", file=sys.stderr, flush=True)
            load.settle(given["settle"])
            before = time.process_time()
            end = load.run(given["timeout"], given["linger"])
        used_s = time.process_time() - before
        found = report(end, load, conversations, schedule, window)
        found["own_cpu_s_per_1000"] = round(1000 * used_s / max(1, found["answers"]), 5)
        if conversations.shown:
            found["shown"] = conversations.shown
        print(json.dumps(found, ensure_ascii=False), flush=True)
        load.end()
    sys.exit(3 if end == "no_bind" else not is_right(found))


if __name__ == "__main__":
    main()
