"""What goes wrong in a run: drawn from the seed before anything happens, so that it can be read.

A fault has a time, a kind and what it needs. `FAULTS` says of each kind how it is drawn, how it is done, and
for how long it can be felt beyond that (timers that have to run out, tries that are apart).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from smpplib import consts

from gateway.simulator import odd
from sim.setting import SMSC_PORT

if TYPE_CHECKING:
    from sim.run import Run

Draw = Callable[[random.Random], dict[str, Any]]
Do = Callable[["Run", dict[str, Any]], object]

#: Longer than any timer of a link or lease in the simulated configuration, and than the dedup window's half.
FELT_S = 12.0


class Fault(NamedTuple):
    at_s: float
    kind: str
    detail: dict[str, Any]

    def __str__(self) -> str:
        words = " ".join(f"{name}={_short(value)}" for name, value in self.detail.items())
        return f"{self.kind} {words}".rstrip()


class Kind(NamedTuple):
    """`weight`: how often it is drawn against the others."""

    draw: Draw
    do: Do
    weight: int = 2
    felt_s: float = FELT_S


def _nothing(_: random.Random) -> dict[str, Any]:
    return {}


def _which(chance: random.Random, **more: Any) -> dict[str, Any]:
    """Which of them, wherever there are so many then."""
    return {"which": chance.randrange(1000), **more}


#: Refusals of a submit_sm that pass, and some that do not.
_TEMPORARY = (
    consts.SMPP_ESME_RTHROTTLED,
    consts.SMPP_ESME_RMSGQFUL,
    consts.SMPP_ESME_RSYSERR,
    consts.SMPP_ESME_RX_T_APPN,
    consts.SMPP_ESME_RSUBMITFAIL,
)
_FOR_GOOD = (consts.SMPP_ESME_RINVDSTADR, consts.SMPP_ESME_RINVSRCADR, consts.SMPP_ESME_RX_P_APPN, 0x400)
_BIND = (
    consts.SMPP_ESME_RBINDFAIL,
    consts.SMPP_ESME_RALYBND,
    consts.SMPP_ESME_RSYSERR,
    consts.SMPP_ESME_RTHROTTLED,
)
_REFUSALS = (
    "READONLY You can't write against a read only replica.",
    "OOM command not allowed when used memory > 'maxmemory'.",
    "NOREPLICAS Not enough good replicas to write.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "LOADING Redis is loading the dataset in memory",
    "NOPERM User default has no permissions to run the 'fcall' command",
)


#: What holds up texts on their way to a gateway, and answers from it. While responses are held back a text
#: is not, but if it is, it stays behind them (see `gateway.simulator.outlet`).
_HOLDS = {"mute": (True, True), "stall_reading": (False, True), "stall_responses": (True, False)}


def _smsc(name: str, draw: Draw = _nothing, *, weight: int = 1, felt_s: float = FELT_S) -> tuple[str, Kind]:
    """An order to the simulated SMSC."""

    def do(run: Run, detail: dict[str, Any]) -> None:
        settings = {key: value for key, value in detail.items() if key != "which"}
        which = detail["which"] % len(run.smscs)
        run.smscs[which].smsc.order({name: settings})
        if name in _HOLDS:
            texts, answers = _HOLDS[name]
            run.history.hold(which, detail["seconds"], texts=texts, answers=answers)

    return f"smsc.{name}", Kind(lambda chance: _which(chance, **draw(chance)), do, weight, felt_s)


def _few(chance: random.Random) -> dict[str, Any]:
    return {"count": chance.randint(1, 4)}


def _seconds(least: float, most: float) -> Draw:
    return lambda chance: {"seconds": round(chance.uniform(least, most), 3)}


def _counted_seconds(least: float, most: float) -> Draw:
    return lambda chance: _few(chance) | _seconds(least, most)(chance)


def _status(*statuses: int) -> Draw:
    return lambda chance: _few(chance) | {"status": int(chance.choice(statuses))}


def _hold(run: Run, detail: dict[str, Any]) -> None:
    connection = run.connection(detail["which"], detail["of"])
    if connection is not None:
        connection.hold(detail["seconds"])
        if detail["of"] == "smsc":
            run.history.hold(connection.port - SMSC_PORT, detail["seconds"])


def _reset(run: Run, detail: dict[str, Any]) -> None:
    connection = run.connection(detail["which"], detail["of"])
    if connection is not None:
        connection.cut_after = detail["octets"]


def _pause(run: Run, detail: dict[str, Any]) -> None:
    """What is ready has run before, so no answer is held up in a process that stands still."""
    run.gateway(detail["which"]).process.pause(detail["seconds"])
    run.history.hold(None, detail["seconds"], answers=False)


def _store_away(run: Run, detail: dict[str, Any]) -> None:
    run.server.stop()
    run.world.after(detail["seconds"], run.server.start)


def _store_refuses(run: Run, detail: dict[str, Any]) -> None:
    run.server.refuse(detail["reply"], everything=detail["everything"])
    run.world.after(detail["seconds"], lambda: run.server.refuse(""))


def _of(chance: random.Random) -> str:
    return chance.choice(("smsc", "store"))


FAULTS: dict[str, Kind] = dict(
    [
        _smsc("refuse_submit", _status(*_TEMPORARY), weight=5, felt_s=30),
        _smsc("nack_submit", _status(*_TEMPORARY), felt_s=30),
        _smsc("ignore_submit", _few, weight=3, felt_s=30),
        _smsc("lose_submit_resp", _few, weight=3, felt_s=30),
        _smsc("late_response", _counted_seconds(0.5, 9), weight=2, felt_s=30),
        _smsc("repeat_response", _few),
        _smsc("wrong_sequence", _few, felt_s=30),
        _smsc("stray_response", _few),
        _smsc("duplicate_deliver", _few, weight=4),
        _smsc("damage_deliver", lambda c: _few(c) | {"form": c.choice(tuple(odd.DELIVERIES))}, felt_s=60),
        _smsc("cut_deliver", _few, weight=2),
        _smsc("unbind_after_deliver", _few),
        _smsc("refuse_bind", _status(*_BIND), felt_s=30),
        _smsc("ignore_bind", _few, felt_s=30),
        _smsc("late_bind", _counted_seconds(0.5, 5), felt_s=30),
        _smsc("stall_responses", _seconds(0.5, 8), weight=2, felt_s=30),
        _smsc("mute", _seconds(0.5, 10), weight=2, felt_s=30),
        _smsc("stall_reading", _seconds(0.5, 8), felt_s=30),
        _smsc("drop", weight=3),
        _smsc("unbind"),
        _smsc("enquire_storm", lambda c: {"count": c.randint(1, 50)}),
        _smsc("unknown_command"),
        _smsc("lying_length", lambda c: {"form": c.choice(tuple(odd.LENGTHS))}),
        _smsc("cut"),
        _smsc("garbage", lambda c: {"bytes": c.randint(1, 100)}),
        _smsc("no_receipt", _few),
        _smsc("early_receipt", _few),
        _smsc("repeat_receipt", _few),
    ]
) | {
    "smsc.refuse_for_good": Kind(
        lambda c: _which(c, **_status(*_FOR_GOOD)(c)),
        lambda run, d: run.smscs[d["which"] % len(run.smscs)].smsc.order(
            {"refuse_submit": {"count": d["count"], "status": d["status"]}}
        ),
        3,
    ),
    "smsc.restart": Kind(
        lambda c: _which(c, **_seconds(0.1, 12)(c)),
        lambda run, d: run.smscs[d["which"] % len(run.smscs)].restart(d["seconds"]),
        felt_s=40,
    ),
    "net.hold": Kind(lambda c: _which(c, of=_of(c), **_seconds(0.1, 9)(c)), _hold, 4, 40),
    "net.reset": Kind(lambda c: _which(c, of=_of(c), octets=c.randrange(2000)), _reset, 6, 30),
    "store.away": Kind(_seconds(0.1, 12), _store_away, 3, 30),
    "store.busy": Kind(_seconds(0.1, 7), lambda run, d: run.server.busy(d["seconds"]), 3, 30),
    "store.refuses": Kind(
        lambda c: {"reply": c.choice(_REFUSALS), "everything": c.random() < 0.3, **_seconds(0.1, 10)(c)},
        _store_refuses,
        4,
        30,
    ),
    "store.cut": Kind(
        lambda c: {"cut": c.choice(("before", "after", "half"))},
        lambda run, d: run.server.cut_next_write(d["cut"]),
        6,
        30,
    ),
    "gateway.kill": Kind(
        lambda c: _which(c, after_steps=c.randint(1, 120), back_after_s=round(c.uniform(0.05, 10), 3)),
        lambda run, d: run.gateway(d["which"]).kill(d["back_after_s"], d["after_steps"]),
        8,
        40,
    ),
    "gateway.pause": Kind(
        lambda c: _which(c, **_seconds(0.05, 9)(c)),
        _pause,
        4,
        40,
    ),
    "gateway.clock": Kind(
        lambda c: _which(c, offset_s=c.choice((-3600.0, -61.0, -1.0, 1.0, 61.0, 3600.0))),
        lambda run, d: run.set_clock(run.gateway(d["which"]), d["offset_s"]),
        1,
    ),
}

_KINDS = tuple(FAULTS)
_WEIGHTS = [FAULTS[kind].weight for kind in _KINDS]


def of(seed: str, within_s: float) -> list[Fault]:
    """In the order of their times; in one run of eight nothing goes wrong. Half of them come together, for
    what one leaves half done another has to find. From a chance of its own, so that without one of the faults
    the rest of the run begins the same.
    """
    chance = random.Random(f"plan {seed}")
    total = 0 if chance.random() < 1 / 8 else chance.randint(1, 10)
    faults = []
    moments = [chance.uniform(1.0, within_s) for _ in range(chance.randint(1, 3))]
    for kind in chance.choices(_KINDS, _WEIGHTS, k=total):
        at_s = chance.choice((chance.uniform(1.0, within_s), chance.choice(moments) + chance.uniform(0, 0.5)))
        faults.append(Fault(round(at_s, 4), kind, FAULTS[kind].draw(chance)))
    return sorted(faults, key=lambda fault: fault.at_s)


def lasts_s(fault: Fault) -> float:
    """For how long it can be felt."""
    detail = fault.detail
    own_s = float(detail.get("seconds", 0.0)) + float(detail.get("back_after_s", 0.0))
    return own_s * float(detail.get("count", 1)) + FAULTS[fault.kind].felt_s


def _short(value: Any) -> str:
    return str(value).split(" ", 1)[0]
