"""What an error reply of Redis means to whoever sent the command.

Invariant: each of these errors says that the command was not carried out, so sending it again, to the right
node and at the right time, is safe; only a lost connection leaves that open. Pure. Called by `nodes`
and by the gateway's own connections.
"""

from __future__ import annotations

from location_store.errors import StoreError, StoreRefused, StoreUnavailable

_TEMPORARY = frozenset(
    {"LOADING", "READONLY", "OOM", "NOREPLICAS", "MISCONF", "CLUSTERDOWN", "MASTERDOWN", "BUSY"}
)
"""The node is up but cannot serve this now, or not any more: LOADING its data, a primary demoted, ..."""

_CREDENTIALS = frozenset({"NOAUTH", "WRONGPASS", "NOPERM"})


class RedirectError(StoreError):
    """A cluster node says that the slot is served elsewhere (MOVED) or is being moved (ASK).

    `host` is empty where the node does not know by what name it is reached itself: then it is the host that
    was asked.
    """

    def __init__(self, kind: str, slot: int, host: str, port: int) -> None:
        super().__init__(f"slot {slot} is at {host}:{port} ({kind})")
        self.kind, self.slot, self.host, self.port = kind, slot, host, port


class SlotMovingError(StoreUnavailable):
    """TRYAGAIN: some keys of the command have moved with their slot, others not yet. It passes."""


class FunctionMissingError(StoreError):
    """The node lacks our function library (a new primary, or FUNCTION FLUSH): load it and send again."""


class AccessError(StoreRefused):
    """NOAUTH, NOPERM, WRONGPASS: we are not, or not any more, allowed in."""


def error_of(reply: Exception, name: str = "Redis") -> StoreError:
    """The exception to raise for an error reply, by its first word; `name` is what the message names."""
    text = " ".join(str(reply).split())
    word, _, rest = text.partition(" ")
    if word in {"MOVED", "ASK"}:
        slot, _, address = rest.partition(" ")
        host, _, port = address.rpartition(":")
        return RedirectError(word, int(slot), host, int(port))
    if "unction not found" in text:
        return FunctionMissingError(f"{name} has not our functions: {text}")
    if word == "TRYAGAIN":
        return SlotMovingError(f"{name} is moving this slot to another node: {text}")
    # A function's own call may be what failed: its word comes later in the text, after a dash.
    if word in _TEMPORARY or any(f"-{each} " in text for each in _TEMPORARY) or "OOM" in text:
        return StoreUnavailable(f"{name} cannot take this now: {text}")
    if word in _CREDENTIALS:
        return AccessError(f"{name} refuses the credentials ({text}): mend the user, password or rights")
    return StoreRefused(f"{name} refused: {text}")
