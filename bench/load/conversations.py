"""Who was texted what and when, and which answer belongs to whom: the load's book-keeping.

Conversation i is that of number `base` + i modulo `subscribers`; its lines have the sequence numbers i + 1,
i + 1 + `messages`, ... All deliver_sm lie ready before the first is sent, so that sending many is copying.
Invariant: whatever arrives is counted in exactly one way (an answer, a duplicate, a stray, a bad PDU), and
text and recipient of all of it were looked at. Pure: the time is an argument. Called by `session` and `run`.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from bench.load.pdus import Part, decode, deliveries, part_of

_VERDICTS_KEPT = 1000


class Plan(NamedTuple):
    """`lines`: what each subscriber writes, the next one after the complete answer to the one before.
    `expected`: what the answer to each must contain ("%m" stands for its recipient); None: whatever.
    `retry_s`: a refused line is sent again after so long; 0: its conversation ends.
    """

    messages: int
    base: int
    subscribers: int
    lines: Sequence[str]
    expected: Sequence[str | None]
    service: str = "10086"
    ucs2: bool = False
    ids: int = 0
    retry_s: float = 0.0


class Conversations:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.digits = len(str(plan.base))
        if len(str(plan.base + plan.subscribers - 1)) != self.digits:
            raise ValueError("the numbers must have equally many digits")
        self._blocks = [self._block(step) for step in range(len(plan.lines))]
        self._lengths = [len(block) // plan.messages for block in self._blocks]
        self._sent = bytearray(plan.messages * len(plan.lines) + 1)  # the link of an un-acked line, by number
        self._open = bytearray(plan.messages + plan.subscribers)  # a line of it awaits its answer
        self._step = bytearray(plan.messages)
        self._since_s = [0.0] * plan.messages
        self._closed = [0] * plan.subscribers  # conversations of each that have come to an end
        self._refused: set[int] = set()
        self._next_lines: deque[int] = deque()
        self._again: deque[tuple[float, int]] = deque()  # refused: when to send whose line again
        self._parts: dict[tuple[object, ...], dict[int, Part]] = {}
        self._verdicts: dict[tuple[int, bytes], bool] = {}
        self.started = self.open = 0
        self.took_s: list[float] = []
        self.count: Counter[str] = Counter()
        self.acks: Counter[int] = Counter()
        self.shown: list[dict[str, object]] = []
        self.show = 0
        self.last_s = self.first_s = 0.0
        self.max_gap_s = 0.0

    def _block(self, step: int) -> bytes:
        plan = self.plan
        line = plan.lines[step].encode("utf-16-be" if plan.ucs2 else "ascii")
        return deliveries(
            (plan.base + n % plan.subscribers for n in range(plan.messages)),
            step * plan.messages + 1,
            line,
            service=plan.service,
            data_coding=8 if plan.ucs2 else 0,
            ids=plan.ids,
        )

    def lines_due(self, now_s: float) -> int:
        """Second and later lines, and refused ones, that may be sent at once."""
        while self._again and self._again[0][0] <= now_s:
            self._next_lines.append(self._again.popleft()[1])
        return len(self._next_lines)

    @property
    def is_over(self) -> bool:
        return self.count["answers"] + self.count["nacked"] >= self.plan.messages

    @property
    def unacked(self) -> int:
        return len(self._sent) - self._sent.count(0)

    def next_lines(self, most: int, link: int) -> tuple[bytes, int]:
        """Up to so many of the lines that are due; and how many they are."""
        made: list[bytes] = []
        while self._next_lines and len(made) < most:
            number = self._next_lines.popleft()
            step = self._step[number]
            length = self._lengths[step]
            made.append(self._blocks[step][number * length : (number + 1) * length])
            self._sent[step * self.plan.messages + number + 1] = link
            self._open[number] = 1
        return b"".join(made), len(made)

    def begin(self, since_s: Sequence[float], link: int) -> bytes:
        """The first lines of as many conversations as there are times."""
        first, last = self.started, self.started + len(since_s)
        self._since_s[first:last] = since_s
        self._open[first:last] = b"\1" * (last - first)
        self._sent[first + 1 : last + 1] = bytes([link]) * (last - first)
        self.started = last
        self.open += last - first
        length = self._lengths[0]
        return self._blocks[0][first * length : last * length]

    def acked(self, sequences: Iterable[int], link: int) -> int:
        """Responses with ESME_ROK on a link; how many of them were to something un-acked."""
        sent, good = self._sent, 0
        for sequence in sequences:
            if sequence < len(sent) and sent[sequence] == link:
                sent[sequence] = 0
                good += 1
            else:
                self.count["unknown_acks"] += 1
        self.acks[0] += good
        return good

    def refused(self, sequence: int, status: int, link: int, now_s: float) -> int:
        """A response with another status, or a generic_nack: once more later, or the conversation ends."""
        if not self.acked([sequence], link):
            return 0
        self.acks[0] -= 1
        self.acks[status] += 1
        step, number = divmod(sequence - 1, self.plan.messages)
        if self._open[number] and self._step[number] == step:
            self._open[number] = 0
            if self.plan.retry_s:
                self.count["retried"] += 1
                self._again.append((now_s + self.plan.retry_s, number))
                return 1
            self._refused.add(number)
            self.count["nacked"] += 1
            self.open -= 1
        return 1

    def answered(self, answers: Iterable[tuple[bytes, bytes]], now_s: float) -> None:
        """destination_addr and what follows it of each submit_sm."""
        verdicts, base, digits = self._verdicts, self.plan.base, self.digits
        subscribers, closed, is_open, since_s = (
            self.plan.subscribers,
            self._closed,
            self._open,
            self._since_s,
        )
        last_line = len(self.plan.lines) - 1
        done = 0
        for address, tail in answers:
            try:
                subscriber = int(address) - base
            except ValueError:
                subscriber = -1
            # A number with anything but digits in it would be smaller than the first.
            if not 0 <= subscriber < subscribers or len(address) != digits:
                subscriber = self._odd(address)
                if subscriber < 0:
                    self.count["stray"] += 1
                    continue
            number = subscriber + subscribers * closed[subscriber]
            step = self._step[number] if last_line and number < self.plan.messages else 0
            right = verdicts.get((step, tail))
            if right is None:
                right = self._judged(subscriber, step, tail)
                if right is None:
                    continue
            if not right:
                self.count["wrong_text"] += 1
            if not is_open[number]:
                number = self._not_open(subscriber, number)
                if number < 0:
                    continue
            is_open[number] = 0
            self.took_s.append(now_s - since_s[number])
            if step < last_line:
                self._step[number] = step + 1
                since_s[number] = now_s
                self._next_lines.append(number)
            else:
                closed[subscriber] += 1
                done += 1
        self.count["answers"] += done
        self.open -= done
        if self.last_s < now_s:
            self.max_gap_s = max(self.max_gap_s, now_s - (self.last_s or self.first_s))
            self.last_s = now_s

    def _odd(self, address: bytes) -> int:
        """The subscriber of an address with a plus; -1: nobody's."""
        if address[:1] != b"+" or not address[1:].isdigit() or len(address) != self.digits + 1:
            return -1
        subscriber = int(address) - self.plan.base
        return subscriber if 0 <= subscriber < self.plan.subscribers else -1

    def _not_open(self, subscriber: int, number: int) -> int:
        """The next open conversation of his behind refused ones; -1, and counted, where there is none."""
        while number in self._refused:
            self._closed[subscriber] += 1
            number += self.plan.subscribers
        if self._open[number]:
            return number
        known = self._closed[subscriber] or (number < self.started)
        self.count["duplicates" if known else "stray"] += 1
        return -1

    def _judged(self, subscriber: int, step: int, tail: bytes) -> bool | None:
        """Whether the text is right; None while parts of it are missing, and where it is malformed."""
        try:
            part = part_of(tail)
        except ValueError:
            self.count["bad_pdus"] += 1
            return None
        self.count["payload_tlv"] += part.in_payload
        self.count["dlr_requested"] += part.wants_receipt
        octets = part.octets
        if part.total > 1:
            parts = self._parts.setdefault((subscriber, part.key), {})
            if part.number in parts:
                self.count["duplicate_parts"] += 1
                return None
            parts[part.number] = part
            if len(parts) < part.total:
                return None
            del self._parts[subscriber, part.key]
            octets = b"".join(parts[number].octets for number in sorted(parts))
            self.count["multipart_answers"] += 1
        text = decode(octets, part.data_coding)
        if len(self.shown) < self.show:
            to = str(self.plan.base + subscriber)
            self.shown.append({"to": to, "parts": part.total, "data_coding": part.data_coding, "text": text})
        expected = self.plan.expected[step]
        own = expected is not None and "%m" in expected
        right = expected is None or expected.replace("%m", str(self.plan.base + subscriber)) in text
        # the same octets again are judged alike, unless that depends on the recipient or is to be counted
        plain = part.total == 1 and not (part.in_payload or part.wants_receipt)
        if plain and not own and len(self.shown) >= self.show:
            if len(self._verdicts) >= _VERDICTS_KEPT:
                self._verdicts.clear()
            self._verdicts[step, tail] = right
        return right

    @property
    def incomplete_parts(self) -> int:
        return len(self._parts)
