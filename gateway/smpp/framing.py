"""The byte stream cut into PDUs: bounded memory, time linear in the bytes, whatever the size of the segments.

Invariant: what is held is the beginning of one PDU whose command_length is acceptable, so never more than the
limit; nothing is allocated for a length that is only announced. Used by `session`.
"""

from collections.abc import Callable, Iterable, Iterator
from struct import Struct

from gateway.smpp.constants import HEADER_LENGTH, MAX_COMMAND_LENGTH, CommandStatus
from gateway.smpp.errors import FramingError

_LENGTH_OCTETS = 4  # command_length, the first field of the header
_length_at = Struct(">I").unpack_from


class Framer:
    """One for a connection."""

    __slots__ = ("_data", "_held", "_max_length", "_needed", "_next")

    def __init__(self, max_length: int = MAX_COMMAND_LENGTH) -> None:
        self._max_length = max_length
        self._held = bytearray()
        self._needed = _LENGTH_OCTETS  # octets without which nothing can be done
        self._data, self._next = b"", 0  # what is being cut, and where its next PDU begins

    @property
    def held(self) -> int:
        """Octets of an unfinished PDU."""
        return len(self._held)

    def frames(self, data: bytes) -> Iterable[bytes]:
        """Take `data` and yield every PDU that it completes; to be iterated to its end.

        Raises `FramingError` where a command_length is below 16 or above the limit, after all PDUs before
        it; the stream cannot be read any further then. The error's sequence_number is 0: no header was
        found (3.4, 4.3).
        """
        if (
            not self._held
            and len(data) >= HEADER_LENGTH
            and _length_at(data)[0] == len(data) <= self._max_length
        ):
            return (data,)  # one whole PDU, as a quiet peer sends them
        return self._cut(data)

    def _cut(self, data: bytes) -> Iterator[bytes]:
        if self._held:
            self._held += data
            if len(self._held) < self._needed:
                return
            data = bytes(self._held)
            self._held.clear()
        self._data, self._next, end = data, 0, len(data)
        self._needed = _LENGTH_OCTETS
        while end - (begin := self._next) >= _LENGTH_OCTETS:
            (command_length,) = _length_at(data, begin)
            if not HEADER_LENGTH <= command_length <= self._max_length:
                raise FramingError(f"command_length {command_length}", CommandStatus.ESME_RINVCMDLEN)
            if end - begin < command_length:
                self._needed = command_length
                break
            self._next = begin + command_length
            yield data[begin : self._next]
        if self._next < end:
            self._held += data[self._next :]
        self._data, self._next = b"", 0

    def skip(self, command_id: bytes, is_one: Callable[[bytes, int, int], bool]) -> list[bytes]:
        """While `frames` is iterated: leave out what follows of this kind, as far as it is there as a whole
        and `is_one`, which is given the octets, and begin and end of the PDU in them. The sequence_number of
        each.
        """
        data, begin, numbers = self._data, self._next, []
        end, max_length = len(data), self._max_length
        while end - begin >= HEADER_LENGTH and data[begin + 4 : begin + 8] == command_id:
            following = begin + _length_at(data, begin)[0]
            if not begin + HEADER_LENGTH <= following <= min(end, begin + max_length):
                break
            if not is_one(data, begin, following):
                break
            numbers.append(data[begin + 12 : begin + 16])
            begin = following
        self._next = begin
        return numbers
