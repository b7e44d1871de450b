"""Faults ordered over HTTP or by a test: what the simulated SMSC does wrong, how often or how long.

An order is a name and its settings, `{"refuse_submit": {"count": 2, "status": "ESME_RTHROTTLED"}}`; `null`
withdraws it. Invariant: without an order everything is done right. `smsc` and `session` ask before they
act.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from smpplib import consts

from gateway.simulator import pdus

_DEFAULT_STATUS = {"refuse_bind": consts.SMPP_ESME_RBINDFAIL, "refuse_submit": consts.SMPP_ESME_RTHROTTLED}


class OrderError(ValueError):
    """An order that cannot be carried out; the message says which setting and what it may be."""


@dataclass
class Counted:
    """A fault of the next `count` occasions; `status` where it is a refusal."""

    count: int = 1
    status: int = 0


@dataclass
class Timed:
    """A fault that lasts `seconds` from when it was ordered."""

    seconds: float = 5.0
    until_s: float = 0.0


@dataclass
class Fragments:
    """Every PDU is written in pieces of `bytes`, `delay_s` apart (0: in separate writes, which the loop may
    join).
    """

    bytes: int = 1
    delay_s: float = 0.001


@dataclass
class Faults:
    """The orders in force.

    refuse_bind: the next binds get `status`. refuse_submit: the next submit_sm get `status`. ignore_submit:
    the next submit_sm are accepted and shown, but never answered. lose_submit_resp: the same, and the
    connection is reset. duplicate_deliver: the next deliver_sm go out twice. stall_responses: responses
    wait until the time is over. mute: nothing is written and nothing that arrives is looked at (a half-open
    link). fragment: written in pieces.
    """

    refuse_bind: Counted | None = None
    refuse_submit: Counted | None = None
    ignore_submit: Counted | None = None
    lose_submit_resp: Counted | None = None
    duplicate_deliver: Counted | None = None
    stall_responses: Timed | None = None
    mute: Timed | None = None
    fragment: Fragments | None = None

    def order(self, name: str, settings: object, now_s: float) -> None:
        """Put one order in force, or withdraw it (`settings` None). Raises OrderError."""
        kind = _KINDS.get(name)
        if kind is None:
            raise OrderError(f"unknown fault {name!r}; known are {', '.join(sorted(_KINDS))}")
        if settings is None:
            setattr(self, name, None)
            return
        if not isinstance(settings, Mapping):
            raise OrderError(f"{name} wants an object of settings, or null")
        order = kind(**_checked(name, kind, settings))
        if isinstance(order, Counted) and not order.status:
            order.status = _DEFAULT_STATUS.get(name, 0)
        if isinstance(order, Timed):
            order.until_s = now_s + order.seconds
        setattr(self, name, order)

    def take(self, name: str) -> Counted | None:
        """Use up one occasion of a counted order; None when there is none."""
        order: Counted | None = getattr(self, name)
        if order is None:
            return None
        order.count -= 1
        if order.count <= 0:
            setattr(self, name, None)
        return order

    def lasting_s(self, name: str, now_s: float) -> float:
        """How long a timed order still lasts; 0 when there is none."""
        order: Timed | None = getattr(self, name)
        if order is None:
            return 0.0
        if order.until_s <= now_s:
            setattr(self, name, None)
            return 0.0
        return order.until_s - now_s

    def as_json(self) -> dict[str, Any]:
        """The orders in force by name."""
        return {name: asdict(order) for name in _KINDS if (order := getattr(self, name)) is not None}


_KINDS: dict[str, Callable[..., Counted | Timed | Fragments]] = {
    "refuse_bind": Counted,
    "refuse_submit": Counted,
    "ignore_submit": Counted,
    "lose_submit_resp": Counted,
    "duplicate_deliver": Counted,
    "stall_responses": Timed,
    "mute": Timed,
    "fragment": Fragments,
}


def _checked(name: str, kind: Any, settings: Mapping[str, object]) -> dict[str, Any]:
    """The settings of an order, each of the right kind and range."""
    known = {f.name for f in fields(kind)} - {"until_s"}
    checked: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in known:
            raise OrderError(f"{name} has no setting {key!r}; it takes {', '.join(sorted(known))}")
        if key == "status":
            try:
                checked[key] = pdus.status_value(value)  # type: ignore[arg-type]  # it checks the type itself
            except ValueError as error:
                raise OrderError(f"{name}: {error}") from None
        elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 86_400:
            raise OrderError(f"{name}.{key} must be a number from 0 to 86400, not {value!r}")
        elif key in ("count", "bytes") and (value < 1 or value != int(value)):
            raise OrderError(f"{name}.{key} must be a whole number from 1, not {value!r}")
        else:
            checked[key] = int(value) if key in ("count", "bytes") else float(value)
    return checked
