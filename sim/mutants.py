"""`python -m sim.mutants [NAME…]`: does the simulation find faults that are known to be there?

Each mutant is the gateway with a few lines changed, in a copy of the tree; seeds are run one after the other
until a check says that something is wrong. Exit status 1 when one is not found. Called by `make sim-mutants`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
MOST_SEEDS = 2000
_COPIED = ("gateway", "location_store", "sim", "config")


class Edit(NamedTuple):
    """`old` stands in the file exactly once."""

    file: str
    old: str
    new: str


class Found(NamedTuple):
    seeds: int | None
    took_s: float
    what: str


PIPELINE, ATTEMPT = "gateway/flow/pipeline.py", "gateway/flow/attempt.py"
PARK_WORKER = "gateway/flow/parkworker.py"
LUA, TURNS = "gateway/redis/functions.lua", "gateway/redis/turns.py"
ROUTES, SMSC, NODE = "gateway/links/routes.py", "gateway/links/smsc.py", "gateway/redis/node.py"
DECIDING, INTAKE = "gateway/flow/deciding.py", "gateway/flow/intake.py"

_SEND = "            self.pipeline.outbox.send_then(mo.route, mt, self._sent)\n"

MUTANTS: dict[str, tuple[Edit, ...]] = {
    "acknowledges before it answers": (
        Edit(
            PIPELINE,
            "        flight = Flight(self, mo, self.pseudonyms.of(mo.msisdn), taken)\n",
            "        taken.settle(Verdict.ACK)\n"
            "        over = staticmethod(taken.over)\n"
            "        taken = type('Told', (), {'settle': lambda *_: None, 'over': over})()\n"
            "        flight = Flight(self, mo, self.pseudonyms.of(mo.msisdn), taken)\n",
        ),
    ),
    "acknowledges what it could not park": (
        Edit(
            ATTEMPT,
            "            entry_id = await self._parked(0, reason)\n"
            "            self._taken.settle(Verdict.TEMPORARY if entry_id is None else Verdict.ACK)\n",
            "            entry_id = await self._parked(0, reason)\n"
            "            self._taken.settle(Verdict.ACK)\n",
        ),
    ),
    "takes a store that is away for the end of a message": (
        Edit(ATTEMPT, 'end(Result(Work.LATER, "store", counts=False))', 'end(Result(Work.DONE, "store"))'),
    ),
    "does not know a redelivery": (
        Edit(LUA, "  if mark == '1' or (mark and fresh) then\n", "  if false then\n"),
    ),
    "never marks what it has answered": (
        Edit(LUA, "  redis.call('SET', keys[3], args[5], 'PX', args[2])\n", ""),
    ),
    "marks before the answer has left": (
        Edit(
            ATTEMPT,
            _SEND,
            "            saying, turn = self._saying, self.turn\n"
            "            self.pipeline.turns.finish_then(self.who, mo.digest, turn.token, saying.state,\n"
            "                saying.state_ttl_s, lambda _: None)\n" + _SEND,
        ),
    ),
    "marks a dead message before it is recorded": (
        Edit(
            ATTEMPT,
            "        await turns.abandon(self.who, turn.token)\n"
            "        return Result(Work.DEAD, outcome.reason)\n",
            "        await turns.mark(self.who, self.mo.digest, answered=False)\n"
            "        await turns.abandon(self.who, turn.token)\n"
            "        return Result(Work.DEAD, outcome.reason)\n",
        ),
    ),
    "keeps the dialog in its own memory": (
        Edit(
            TURNS,
            "partial(_begun, token, good_until_s, then)",
            "partial(_begun, token, good_until_s, lambda turn: then(replace("
            "turn, state=self.__dict__.get(who, b'')) if isinstance(turn, Turn) else turn))",
        ),
        Edit(
            TURNS,
            "        # An empty blob with a time limit",
            "        if state is not None:\n            self.__dict__[who] = state if ttl_s else b''\n"
            "        # An empty blob with a time limit",
        ),
    ),
    "gives one subscriber two turns at a time": (
        Edit(
            LUA,
            "  elseif holder and not ours then\n",
            "  elseif false then\n",
        ),
        Edit(PIPELINE, "        if ahead is None:\n", "        if ahead is None or msisdn:\n"),
        Edit(
            PIPELINE, "        del self._under_way[msisdn]\n", "        self._under_way.pop(msisdn, None)\n"
        ),
    ),
    "asks for a turn again and again, with no line": (
        Edit(
            LUA,
            "  elseif fresh and not ours and others_first(line, keys[3]) then\n",
            "  elseif false then\n",
        ),
    ),
    "lines up only what waits for another process": (
        Edit(PIPELINE, "        if not attempt.in_line:\n", "        if False:\n"),
    ),
    "lets those that are to be parked leave the line at once": (
        Edit(LUA, "  if fresh and (how == 1 or how == 3) then\n", "  if fresh and how == 1 then\n"),
    ),
    "parks before those that wait in line": (
        Edit(
            LUA,
            "  elseif fresh and not ours and others_first(line, keys[3]) then\n"
            "    how = 1\n"
            "  elseif fresh and behind(keys[5]) then\n"
            "    how = 3\n",
            "  elseif fresh and behind(keys[5]) then\n"
            "    how = 3\n"
            "  elseif fresh and not ours and others_first(line, keys[3]) then\n"
            "    how = 1\n",
        ),
    ),
    "lets a message overtake those that are parked": (
        Edit(LUA, "    if tonumber(expires_ms) > now_ms then return true end\n", ""),
    ),
    "goes on with a subscriber's next when one has to wait": (
        Edit(
            PARK_WORKER,
            "pauses) or not await self._one(route, shard, entry, pauses):\n                    break\n",
            "pauses) or not await self._one(route, shard, entry, pauses):\n                    continue\n",
        ),
    ),
    "takes a lost connection for an accepted answer": (
        Edit(ROUTES, "    LostError: NO_RESPONSE,\n", "    LostError: ACCEPTED,\n"),
    ),
    "takes a throttled answer for an accepted one": (
        Edit(ROUTES, "        if status == 0:\n", "        if status == 0 or status in THROTTLED:\n"),
    ),
    "gives a throttled answer up for good": (
        Edit(
            ROUTES,
            'self._then(Outcome(Sending.LATER, "throttled"))\n',
            'self._then(Outcome(Sending.REFUSED, "throttled"))\n',
        ),
        Edit(ROUTES, "THROTTLED_TRIES = 8\n", "THROTTLED_TRIES = 1\n"),
    ),
    "tells one the answer of another": (
        Edit(
            DECIDING,
            "        places = self._named(history, rules, since_min) if answers and history else ()\n",
            "        places = self._named(history, rules, since_min) if answers and history else ()\n"
            "        if places:\n"
            "            places = self.__dict__.setdefault(rules.carrier.name, places)\n",
        ),
    ),
    "says there is nothing where nothing was read": (
        Edit(
            DECIDING,
            "        subscriber, history, names = self._known(turn)\n",
            "        subscriber, history, names = self._known(turn)\n"
            "        history = history if now_s % 7 < 6.9 else b''\n",
        ),
    ),
    "matches replies of the store by luck after a timeout": (
        Edit(
            NODE,
            '            self._drop(f"no answer within {self._timeout_s:g} s")\n',
            "            self._waiting.popleft()[0](StoreUnavailable('late'))\n            self._check()\n",
        ),
    ),
    "sends what is too old": (
        Edit(PARK_WORKER, "        if self._clock.wall() >= entry.expires_s:\n", "        if False:\n"),
        Edit(ATTEMPT, "monotonic_s + mo.received_s + p.limits.answer_ttl_s - wall_s", "monotonic_s + 3600.0"),
    ),
    "binds once": (
        Edit(
            SMSC,
            "        while not self._stopping:\n            if cause is not",
            "        for _ in (1,):\n            if cause is not",
        ),
    ),
    "forgets the sender of a part": (
        Edit(
            INTAKE,
            '[b"parts", line.carrier.name.encode(), sender, receiver, shape]',
            '[b"parts", shape]',
        ),
        Edit(
            INTAKE,
            "            self._pseudonyms.of(msisdn),\n            message,",
            "            self._pseudonyms.of('0'),\n            message,",
        ),
    ),
}


def applied(edits: tuple[Edit, ...], folder: Path) -> None:
    """Change the tree in the folder. Raises SystemExit where it is no longer what it was."""
    for file, old, new in edits:
        path = Path(folder, file)
        text = path.read_text(encoding="utf-8")
        if text.count(old) != 1:
            raise SystemExit(f"{file} has changed: {old.strip()!r} stands in it {text.count(old)} times")
        path.write_text(text.replace(old, new), encoding="utf-8")


def copied(folder: Path) -> None:
    """The tree, as far as a run needs it."""
    for name in _COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def hunt(edits: tuple[Edit, ...], seeds: int) -> Found:
    """Apply the edits to a copy and run seeds until one fails."""
    with tempfile.TemporaryDirectory(prefix="cxmyd-mutant-") as folder:
        copied(Path(folder))
        applied(edits, Path(folder))
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "sim", "--until-wrong", "--seeds", str(seeds)],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        took_s = time.monotonic() - started_s
    try:
        found = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"the simulation itself failed: {done.stderr[-2000:]}") from None
    return Found(found["seeds"], took_s, found["wrong"])


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m sim.mutants", description="Faults that have to be found."
    )
    parser.add_argument("names", nargs="*", help="some of them (all)")
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="at most so many for each")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the result here, as JSON")
    arguments = parser.parse_args()
    names = arguments.names or list(MUTANTS)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = dict(
            zip(names, pool.map(lambda name: hunt(MUTANTS[name], arguments.seeds), names), strict=True)
        )
    table = Table("a gateway that", "is found by", "seconds", "what is seen first")
    for name, each in found.items():
        seeds = "[red]no seed[/]" if each.seeds is None else f"seed {each.seeds}"
        table.add_row(name, seeds, f"{each.took_s:.0f}", each.what)
    Console().print(table)
    if arguments.record is not None:
        record = {name: each._asdict() for name, each in found.items()}
        arguments.record.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return int(any(each.seeds is None for each in found.values()))


if __name__ == "__main__":
    sys.exit(main())
