"""What phones sent and received: the texts, their state, and a bounded history of them.

Invariant: a text from a phone is `acknowledged` only after every part of it got ESME_ROK. `smsc` writes,
`api` reads.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Direction = Literal["mo", "mt"]
State = Literal["queued", "acknowledged", "refused", "expired", "received"]

_MESSAGES_PER_NUMBER = 200
_NUMBERS = 20_000


@dataclass
class Message:
    """One text as a phone shows it: `mo` from the phone to the service, `mt` to the phone.

    `at_s` is when it was sent (mo) or complete (mt), in unix seconds. `acknowledged_ms` counts from there
    to the last ESME_ROK; `answer_ms` (mt) from the text it answers. `status` is the last refusal,
    `attempts` counts deliver_sm sent.
    """

    id: str
    direction: Direction
    number: str
    service: str
    text: str
    at_s: float
    state: State
    parts: int = 1
    parts_acknowledged: int = 0
    attempts: int = 0
    status: str | None = None
    acknowledged_ms: float | None = None
    answer_ms: float | None = None
    answered_by: str | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class History:
    """The latest texts of the latest numbers, oldest first for each number."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, deque[Message]] = OrderedDict()

    def add(self, message: Message) -> None:
        messages = self._of.setdefault(message.number, deque(maxlen=_MESSAGES_PER_NUMBER))
        messages.append(message)
        self._of.move_to_end(message.number)
        if len(self._of) > _NUMBERS:
            self._of.popitem(last=False)

    def of(self, number: str, service: str | None = None) -> list[Message]:
        return [m for m in self._of.get(number, ()) if service in (None, m.service)]

    def unanswered(self, number: str, service: str) -> Message | None:
        """The latest text of the number to the service, if nothing has answered it yet."""
        for message in reversed(self._of.get(number, ())):
            if message.direction == "mo" and message.service == service:
                return None if message.answered_by else message
        return None

    def latest(self, limit: int = 200) -> Iterator[Message]:
        """The last text of each conversation (number and service), the numbers that were active last
        first.
        """
        for number in list(reversed(self._of))[:limit]:
            by_service = {message.service: message for message in self._of[number]}
            yield from reversed(by_service.values())
