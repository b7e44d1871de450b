"""The store model as a Redis server on the simulated network, and what can be wrong with it.

One command after the other, each at the time it is read. Faults: away (connections are refused, open ones
reset), busy (nothing is carried out for a while), refusing (an error reply to what would write, or to all),
and cut off: the connection of the next write ends before its effect, after it, or in the middle of its reply.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import hiredis

from sim.network import End, Network
from sim.store import WRITES, Refusal, Status, Store

Cut = Literal["before", "after", "half"]


class Server:
    def __init__(self, network: Network, port: int) -> None:
        world = network.world
        self.store = Store(lambda: int(world.wall_s * 1000))
        self._network, self._port, self._world = network, port, world
        self._ends: dict[End, Any] = {}
        self._free_at_s = 0.0
        self._refusal = ""
        self._refuses_all = False
        self._cut: Cut | None = None
        self.start()

    # what can be wrong

    def start(self) -> None:
        self._network.listen(self._port, self._accept)

    def stop(self) -> None:
        """Away, until it is started."""
        self._network.unlisten(self._port)
        for end in list(self._ends):
            end.abort()

    def busy(self, seconds: float) -> None:
        self._free_at_s = self._world.now_s + seconds

    def refuse(self, reply: str, *, everything: bool = False) -> None:
        """An error reply to writes (`everything`: to all) from now on; '': no more."""
        self._refusal, self._refuses_all = reply, everything

    def cut_next_write(self, cut: Cut) -> None:
        self._cut = cut

    # serving

    def _accept(self, end: End) -> None:
        reader = self._ends[end] = hiredis.Reader()

        def read(data: bytes) -> None:
            reader.feed(data)
            if self._free_at_s > self._world.now_s:
                self._world.at(self._free_at_s, lambda: self._serve(end, reader))
            else:
                self._serve(end, reader)

        end.on_data = read
        end.on_lost = lambda clean: self._ends.pop(end, None)

    def _serve(self, end: End, reader: Any) -> None:
        """Carry out what has been read; a connection that is gone does not undo what it asked for."""
        replies: list[bytes] = []
        while (command := reader.gets()) is not False:
            writes = command[0].upper().decode() in WRITES
            cut = self._cut if writes else None
            if cut == "before":
                self._cut = None
                self._reply(end, b"".join(replies))
                end.abort()
                return
            replies.append(encode(self._run(command, writes)))
            if cut is not None:
                self._cut = None
                last = replies.pop()
                self._reply(end, b"".join([*replies, last[: len(last) // 2] if cut == "half" else b""]))
                end.abort()
                return
        self._reply(end, b"".join(replies))

    def _run(self, command: Sequence[bytes], writes: bool) -> Any:
        if self._refusal and (writes or self._refuses_all):
            return Refusal(self._refusal)
        return self.store.run(command)

    def _reply(self, end: End, octets: bytes) -> None:
        end.write(octets)


def encode(reply: Any) -> bytes:
    """A reply in RESP2."""
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, Status):
        return b"+%b\r\n" % bytes(reply)
    if isinstance(reply, bytes):
        return b"$%d\r\n%b\r\n" % (len(reply), reply)
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, Refusal):
        return b"-%b\r\n" % " ".join(str(reply).split()).encode()
    return b"*%d\r\n%b" % (len(reply), b"".join(map(encode, reply)))
