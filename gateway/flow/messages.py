"""The values that travel along the pipeline. Nobody writes to one; none prints a number.

Not frozen, no tuples, their `__init__` written out: all else costs three times as much to make, and more
where it is compiled; each is made for every message.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from gateway.dialog.carrier import Carrier
from gateway.smpp.pdu import Address


class Verdict(Enum):
    """What the SMSC is told about its message."""

    ACK = "acknowledged"  # ESME_ROK: answered, parked, or by rule not to be answered
    TEMPORARY = "temporary"  # ESME_RX_T_APPN: the SMSC keeps it and sends it again
    FULL = "full"  # ESME_RMSGQFUL: the same, since too many of his are waiting


@dataclass(slots=True, repr=False, init=False)
class Mo:
    """One text of a subscriber, all its parts joined.

    `route` names where the answer leaves; `digest` (16 bytes, keyed) is the same for a redelivery and for
    nothing else; `received_s` is wall-clock unix time, from which its time to live counts.
    """

    route: str
    carrier: Carrier
    msisdn: str | None  # E.164 digits; None: nobody who could have a history
    source: Address
    destination: Address
    text: str
    digest: bytes
    received_s: float

    def __init__(  # noqa: PLR0917 -- see above
        self,
        route: str,
        carrier: Carrier,
        msisdn: str | None,
        source: Address,
        destination: Address,
        text: str,
        digest: bytes,
        received_s: float,
    ) -> None:
        self.route = route
        self.carrier = carrier
        self.msisdn = msisdn
        self.source = source
        self.destination = destination
        self.text = text
        self.digest = digest
        self.received_s = received_s

    def __repr__(self) -> str:
        return f"Mo({self.route}, {self.carrier.name}, {self.digest.hex()})"


@dataclass(slots=True, repr=False, init=False)
class Mt:
    """An answer, ready to leave: back to the source exactly as it came, from the number that was texted.

    A text, not parts: what these are is the choice of the link by which it leaves. `not_after_s`
    (monotonic): the end of its time to live, after which no part of it leaves.
    """

    source: Address
    destination: Address
    text: str
    not_after_s: float

    def __init__(self, source: Address, destination: Address, text: str, not_after_s: float) -> None:
        self.source = source
        self.destination = destination
        self.text = text
        self.not_after_s = not_after_s

    def __repr__(self) -> str:
        return f"Mt({len(self.text)} characters)"


class Sending(Enum):
    ACCEPTED = "accepted"  # every part has its ESME_ROK
    REFUSED = "refused"  # for good: trying again cannot help
    LATER = "later"  # no link, throttled, or no response in time (outcome unknown)


class Outcome(NamedTuple):
    """What became of an Mt; `reason` is a word for metrics and the operator, such as `ESME_RINVDSTADR`."""

    sending: Sending
    reason: str = ""


ACCEPTED = Outcome(Sending.ACCEPTED)


class Work(StrEnum):
    DONE = "done"
    DEAD = "dead"
    LATER = "later"


class Result(NamedTuple):
    """How one attempt at a message ended. LATER may be tried again; `counts` says whether it used up one of
    its tries (a store or a link that is away is not the message's fault).
    """

    work: Work
    reason: str
    counts: bool = True
