"""What the simulated SMSC does wrong on order: the table of faults, and the orders in force.

An order is a name and its settings, `{"refuse_submit": {"count": 2, "status": "ESME_RTHROTTLED"}}`; `null`
withdraws it. With `by_address`, an address of that prefix orders a fault for its own PDUs by its last four
characters (`ADDRESSES`). Invariant: without an order everything is done right. `smsc`, `session` and `outlet`
ask before they act.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from smpplib import consts

from gateway.simulator import odd, pdus, receipts
from gateway.simulator.trace import NOBODY, Parties

UNASSIGNED_PREFIX = "999"
"""A country code that the ITU keeps in reserve (E.164): no phone has such a number."""

Settings = Mapping[str, Any]


class OrderError(ValueError):
    """An order that cannot be carried out; the message says which setting and what it may be."""


class Fault(NamedTuple):
    """`settings` with their defaults: `count` for the next so many occasions, `seconds` without `count` for
    so long from now, neither: until withdrawn. `forms`: what `form` may be. An `act` happens at once.
    """

    does: str
    settings: Settings
    forms: tuple[str, ...] = ()
    act: bool = False


_ONCE: Settings = {"count": 1}

FAULTS: dict[str, Fault] = {
    "refuse_bind": Fault("refuses binds", {"count": 1, "status": int(consts.SMPP_ESME_RBINDFAIL)}),
    "ignore_bind": Fault("never answers binds", _ONCE),
    "late_bind": Fault("answers binds late", {"count": 1, "seconds": 5.0}),
    "refuse_submit": Fault("refuses submit_sm", {"count": 1, "status": int(consts.SMPP_ESME_RTHROTTLED)}),
    "nack_submit": Fault(
        "refuses submit_sm by a generic_nack", {"count": 1, "status": int(consts.SMPP_ESME_RSYSERR)}
    ),
    "ignore_submit": Fault("takes submit_sm and never answers", _ONCE),
    "lose_submit_resp": Fault("takes submit_sm and resets the connection instead of answering", _ONCE),
    "late_response": Fault("answers submit_sm late", {"count": 1, "seconds": 5.0}),
    "repeat_response": Fault("answers submit_sm twice", _ONCE),
    "wrong_sequence": Fault("answers submit_sm with a sequence_number that was never sent", _ONCE),
    "stray_response": Fault("also answers a submit_sm that was never sent", _ONCE),
    "odd_message_id": Fault(
        "gives a message_id of another form", {"count": 1, "form": "upper"}, tuple(odd.MESSAGE_IDS)
    ),
    "no_receipt": Fault("sends no receipt", _ONCE),
    "late_receipt": Fault("sends the receipt late", {"count": 1, "seconds": 5.0}),
    "early_receipt": Fault("sends the receipt before the submit_sm_resp", _ONCE),
    "repeat_receipt": Fault("sends the receipt twice", _ONCE),
    "odd_receipt": Fault(
        "sends a receipt of another form", {"count": 1, "form": "no_counts"}, tuple(receipts.FORMS)
    ),
    "receipt_state": Fault("reports another state", {"count": 1, "form": "UNDELIV"}, tuple(receipts.STATES)),
    "duplicate_deliver": Fault("sends deliver_sm twice", _ONCE),
    "damage_deliver": Fault(
        "sends deliver_sm damaged", {"count": 1, "form": "lying_sm_length"}, tuple(odd.DELIVERIES)
    ),
    "cut_deliver": Fault("sends half a deliver_sm and resets the connection", _ONCE),
    "unbind_after_deliver": Fault("sends an unbind right behind a deliver_sm", _ONCE),
    "stall_responses": Fault("holds all responses back", {"seconds": 5.0}),
    "mute": Fault("a half-open link: writes nothing, ignores what comes", {"seconds": 5.0}),
    "fragment": Fault("writes every PDU in pieces, a pause between them", {"bytes": 1, "delay_s": 0.001}),
    "congestion": Fault("says so in its responses (congestion_state, SMPP 5.0)", {"percent": 95}),
    "drop": Fault("resets the connection", {}, act=True),
    "unbind": Fault("unbinds", {}, act=True),
    "enquire_link": Fault("asks whether the ESME is there", {}, act=True),
    "enquire_storm": Fault("asks so many times in one go", {"count": 100}, act=True),
    "stall_reading": Fault("reads nothing, so that the ESME's writes stall", {"seconds": 5.0}, act=True),
    "unknown_command": Fault("sends a request of an unknown command_id", {}, act=True),
    "lying_length": Fault(
        "sends an enquire_link with a wrong command_length", {"form": "huge"}, tuple(odd.LENGTHS), act=True
    ),
    "cut": Fault("sends half an enquire_link and resets the connection", {}, act=True),
    "garbage": Fault("sends octets that are no PDU", {"bytes": 64}, act=True),
}


def _codes() -> dict[str, tuple[str, Settings]]:
    """Which fault the last four characters of an address order, with what settings."""
    codes: dict[str, tuple[str, Settings]] = {
        f"0{status:03X}": ("refuse_submit", {"status": status}) for status in range(1, 0x1000)
    }
    plain = ("ignore_submit", "lose_submit_resp", "nack_submit", "repeat_response", "wrong_sequence")
    for block, names in {
        "10": (*plain, "stray_response"),
        "12": ("no_receipt", "repeat_receipt", "early_receipt"),
        "13": ("duplicate_deliver", "cut_deliver", "unbind_after_deliver"),
        "14": ("drop", "unbind", "enquire_storm", "unknown_command", "garbage", "cut"),
    }.items():
        codes |= {f"{block}{number:02}": (name, {}) for number, name in enumerate(names, start=1)}
    for block, name in {
        "21": "odd_message_id", "22": "odd_receipt", "23": "receipt_state", "24": "damage_deliver",
        "25": "lying_length",
    }.items():  # fmt: skip
        forms = FAULTS[name].forms
        codes |= {f"{block}{number:02}": (name, {"form": form}) for number, form in enumerate(forms, start=1)}
    for block, name in {"31": "late_response", "32": "late_receipt", "33": "stall_reading"}.items():
        codes |= {f"{block}{seconds:02}": (name, {"seconds": float(seconds)}) for seconds in range(100)}
    return codes


ADDRESSES = _codes()


class Faults:
    """The orders in force. `by_address`: the prefix of the addresses that order faults; None: none do."""

    def __init__(self, by_address: str | None = None) -> None:
        self.by_address = by_address
        self._orders: dict[str, dict[str, Any]] = {}

    def order(self, name: str, settings: object, now_s: float) -> None:
        """Put one order in force, or withdraw it (`settings` None). Raises OrderError."""
        checked = self.checked(name, settings)
        if FAULTS[name].act:
            raise OrderError(f"{name} happens at once and cannot be in force")
        if checked is None:
            self._orders.pop(name, None)
            return
        if "seconds" in checked and "count" not in checked:
            checked["until_s"] = now_s + checked["seconds"]
        self._orders[name] = checked

    @staticmethod
    def checked(name: str, settings: object) -> dict[str, Any] | None:
        """All settings of an order, those not given by default; None for null. Raises OrderError."""
        fault = FAULTS.get(name)
        if fault is None:
            raise OrderError(f"unknown fault {name!r}; known are clear, {', '.join(sorted(FAULTS))}")
        if settings is None:
            return None
        if settings is True:
            settings = {}
        if not isinstance(settings, Mapping):
            raise OrderError(f"{name} wants an object of settings, or null")
        for key in settings:
            if key not in fault.settings:
                takes = ", ".join(sorted(fault.settings)) or "none"
                raise OrderError(f"{name} has no setting {key!r}; it takes {takes}")
        given = {key: _value(f"{name}.{key}", key, value, fault.forms) for key, value in settings.items()}
        return {**fault.settings, **given}

    def clear(self) -> None:
        """Withdraw all orders."""
        self._orders.clear()

    def take(self, name: str, parties: Parties = NOBODY) -> Settings | None:
        """Use up one occasion of a counted order, or of what an address orders; None when there is none."""
        order = self._orders.get(name)
        if order is None:
            addressed = self.addressed(parties)
            return addressed[1] if addressed is not None and addressed[0] == name else None
        order["count"] -= 1
        if order["count"] <= 0:
            del self._orders[name]
        return order

    def addressed(self, parties: Parties) -> tuple[str, Settings] | None:
        """The fault that one of the addresses orders by itself, with its settings."""
        if self.by_address is None:
            return None
        for address in parties:
            if address is not None and address.startswith(self.by_address):
                ordered = ADDRESSES.get(address[-4:].upper())
                if ordered is not None:
                    name, settings = ordered
                    return name, {**FAULTS[name].settings, **settings}
        return None

    def lasting(self, name: str) -> Settings | None:
        """An order that stands until it is withdrawn."""
        return self._orders.get(name)

    def lasting_s(self, name: str, now_s: float) -> float:
        """How long a timed order still lasts; 0 when there is none."""
        order = self._orders.get(name)
        if order is None:
            return 0.0
        if order["until_s"] <= now_s:
            del self._orders[name]
            return 0.0
        return float(order["until_s"] - now_s)

    def as_json(self) -> dict[str, Any]:
        """The orders in force by name."""
        return {name: dict(self._orders[name]) for name in FAULTS if name in self._orders}


def known() -> list[dict[str, Any]]:
    """The table, for those who choose from it."""
    return [{"name": name, **fault._asdict()} for name, fault in FAULTS.items()]


_RANGES: dict[str, tuple[type[int] | type[float], int, int]] = {
    "count": (int, 1, 1_000_000),
    "bytes": (int, 1, 65_536),
    "percent": (int, 0, 100),
    "seconds": (float, 0, 86_400),
    "delay_s": (float, 0, 86_400),
}


def _value(where: str, key: str, value: object, forms: tuple[str, ...]) -> Any:
    """One setting, of the right kind and range. Raises OrderError."""
    if key == "status":
        try:
            return pdus.status_value(value)  # type: ignore[arg-type]  # it checks the type itself
        except ValueError as error:
            raise OrderError(f"{where}: {error}") from None
    if key == "form":
        if value not in forms:
            raise OrderError(f"{where} must be one of {', '.join(forms)}, not {value!r}")
        return value
    kind, least, most = _RANGES[key]
    if type(value) in (int, float):  # no bool
        number: Any = value
        if least <= number <= most and kind(number) == number:
            return kind(number)
    what = "whole number" if kind is int else "number"
    raise OrderError(f"{where} must be a {what} from {least} to {most}, not {value!r}")
