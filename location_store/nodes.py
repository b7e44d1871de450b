"""The Redis behind a URL, one node or a cluster, for the location store's batched calls.

A batch goes to all its nodes before any reply is awaited. What a node says it did not carry out (the slot is
elsewhere, or on its way; the functions are missing there) is sent again to where it belongs, within
`PATIENCE_S`.

Invariants: nothing else is sent twice, since a lost reply must not write twice; a failure leaves as
StoreUnavailable (try again later) or StoreRefused (mend something), one line without the password; only
primaries are asked. One thread at a time. Called by `store`; the gateway has its own asynchronous
connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import hiredis
import redis
from redis import exceptions as redis_errors

from location_store.errors import StoreRefused, StoreUnavailable
from location_store.links import Link, Packed, Sent, exchange
from location_store.replies import FunctionMissingError, RedirectError, SlotMovingError, error_of
from location_store.topology import Address, Cluster, OneNode

__all__ = ["Command", "Nodes", "Packed"]

SILENCE_S = 10.0
"""A node that owes a reply and moves no byte for so long is taken for lost."""

LOOK_S = 1.0
"""After so much silence of a cluster's node the others are asked whether it still is one."""

PATIENCE_S = 10.0
"""For how long a command follows a slot that is being moved."""

PAUSE_S = 0.02
"""Between two tries at a slot of which half has moved."""

_ASKING = hiredis.pack_command(("ASKING",))
_NO_CLUSTER = "cluster support disabled"
_PARSERS: Any = redis.Redis(protocol=2).response_callbacks
"""What redis-py makes of the replies to some commands: dictionaries of pairs, and the like."""


Args = tuple[bytes | str | int, ...]


class Command(NamedTuple):
    """One Redis command and the key whose slot it goes to."""

    key: bytes
    args: Args


class Flight(NamedTuple):
    """Batches that were sent and not yet waited for."""

    sent: list[Sent]


class Nodes:
    """Connections to the node or nodes of one URL, opened when they are first needed."""

    def __init__(self, url: str, library: str, *, silence_s: float = SILENCE_S) -> None:
        """`library`: Lua source that `load` puts on every primary. Raises StoreRefused for a wrong URL."""
        self.name = _without_password(url)
        self.is_cluster = url.startswith("redis+cluster://")
        self._library = library
        self._silence_s = silence_s
        self._links: dict[Address, Link] = {}
        self._unconfirmed: set[Link] = set()
        """What has been used since replicas were last waited for."""
        self._outdated = False
        """Something suggested that the slots are not where we think."""
        try:
            self._topology = Cluster(url) if self.is_cluster else OneNode(url)
        except ValueError as error:
            raise StoreRefused(
                f"{self.name} has no Redis URL ({error}): it is redis://host:port/db, rediss://…, "
                "unix:///path or redis+cluster://host:port,host:port"
            ) from error

    # --- one command, or some ---

    def call(self, key: bytes, *args: bytes | str | int) -> Any:
        """The reply to one command."""
        return self.run([Command(key, args)])[0]

    def run(self, commands: Sequence[Command]) -> list[Any]:
        """The replies in the order of the commands, as redis-py would give them.

        Raises on the first command that failed; others of the batch may have been carried out.
        """
        replies = self.run_packed([Packed(key, _pack(args), 1) for key, args in commands])
        return [_parsed(args, reply) for (_, args), (reply,) in zip(commands, replies, strict=True)]

    def on_primaries(self, *args: bytes | str | int) -> list[Any]:
        """The replies of all nodes that take writes to one command."""
        return [_parsed(args, reply) for (reply,) in self._on_primaries(lambda _: [args])]

    def load(self) -> None:
        """Put the library on every primary, in place of an older version."""
        self.on_primaries("FUNCTION", "LOAD", "REPLACE", self._library)

    # --- batches ---

    def run_packed(self, batches: Sequence[Packed]) -> list[list[Any]]:
        """`start` and `finish` in one."""
        return self.finish(self.start(batches))

    def start(self, batches: Sequence[Packed]) -> Flight:
        """Send batches, without waiting for what does not fit into the sockets.

        Raises before anything is sent if one of the nodes cannot be reached. Several flights may be under
        way at a time; each must be finished, in the order of the starts.
        """
        self._look()
        ways: dict[Address, Link] = {}
        links = []
        for packed in batches:
            address = self._address_of(packed.key)
            if address not in ways:
                ways[address] = self._link(address)
            links.append(ways[address])
        sent = [link.send(packed) for link, packed in zip(links, batches, strict=True)]
        for link in ways.values():
            link.write()
        return Flight(sent)

    def finish(self, flight: Flight) -> list[list[Any]]:
        """Wait for the replies to a flight: for each batch as many as it has commands, as hiredis reads them.

        Raises as soon as all is known: StoreUnavailable where a connection was lost (whether its batches
        took effect is unknown; those of other nodes were carried out), else by the first error reply that
        cannot be mended by sending the command again.
        """
        self._exchange(flight.sent)
        until_s = time.monotonic() + PATIENCE_S
        while refused := [
            (sent, at)
            for sent in flight.sent
            for at, reply in enumerate(sent.replies)
            if type(reply) is hiredis.ReplyError
        ]:
            self._send_again(refused, until_s)
        return [sent.replies for sent in flight.sent]

    def wait(self, replicas: int, timeout_ms: int) -> None:
        """Return once `replicas` replicas of every primary have what was written so far (WAIT).

        Raises StoreUnavailable when fewer have after `timeout_ms`, and when a connection that was used since
        the last success is lost: its node may have been replaced by a replica without these writes. In both
        cases all that was written since then has to be written again, or compared with what is there, before
        the next call. Nothing to do for 0 replicas.
        """
        if replicas <= 0:
            return
        lost = [link for link in self._unconfirmed if not link.usable()]
        self._unconfirmed -= set(lost)
        if lost:
            self._outdated = True
            raise StoreUnavailable(
                f"{self.name}: a connection was lost before replicas were known to have the last writes"
            )
        # WAIT reckons from the connection's last write: a small one covers those of others, and keys that a
        # slot brought along when it moved here.
        fewest = min(
            count
            for _, count in self._on_primaries(
                lambda address: [
                    ("SET", self._topology.key_at(address, b"cxmyd:wait"), 1, "EX", 60),
                    ("WAIT", replicas, timeout_ms),
                ],
                timeout_ms / 1000,
            )
        )
        if fewest < replicas:
            raise StoreUnavailable(
                f"{self.name}: {fewest} of {replicas} replicas have the last writes after {timeout_ms} ms"
            )
        self._unconfirmed.clear()

    def close(self) -> None:
        for link in self._links.values():
            link.close("closed")
        self._links.clear()

    # --- how ---

    def _on_primaries(
        self, commands: Callable[[Address], Sequence[Args]], more_s: float = 0.0
    ) -> list[list[Any]]:
        """The replies of each primary to its commands; `more_s`: how long these may take by themselves."""
        self._look()
        sent = []
        for address in self._topology.primaries():
            packed = [_pack(args) for args in commands(address)]
            sent.append(self._link(address).send(Packed(b"", b"".join(packed), len(packed))))
        self._exchange(sent, more_s)
        for each in sent:
            for reply in each.replies:
                if isinstance(reply, hiredis.ReplyError):
                    raise self._final(error_of(reply, self.name))
        return [each.replies for each in sent]

    def _exchange(self, sent: Sequence[Sent], more_s: float = 0.0) -> None:
        """Carry batches until they are complete. A cluster's node that was silent is believed only if the
        others still call it a primary: one that was stopped and wakes up takes writes that its successor
        never sees.
        """
        look_s = min(LOOK_S, self._silence_s)
        for number in count(1):
            late = exchange(self._links.values(), sent, number * look_s + more_s)
            if late or number > 1:
                self._leave_replaced(sent)
            if not late:
                break
            if number * look_s >= self._silence_s:
                for link in late:
                    link.close(f"no answer within {self._silence_s:g} s")
        for each in sent:
            if each.error is not None:
                self._outdated = True
                raise each.error

    def _leave_replaced(self, sent: Sequence[Sent]) -> None:
        """Give up batches on nodes that, by what the others say, serve no slots any more."""
        if not self.is_cluster:
            return
        with suppress(StoreUnavailable), self._translated():
            self._topology.learn()
        primaries = self._topology.primaries()
        for each in sent:
            if each.link.address not in primaries:
                each.link.close("another node has taken its place")
                each.error = each.error or each.link.unknown("another node has taken its place")

    def _send_again(self, refused: Sequence[tuple[Sent, int]], until_s: float) -> None:
        """Commands that were not carried out, to where they belong now; replies take the errors' places."""
        again: list[tuple[Sent, int, Sent]] = []
        pause = False
        for sent, at in refused:
            error = error_of(sent.replies[at], self.name)
            link: Link | None = None
            if isinstance(error, RedirectError) and self.is_cluster:
                link = self._redirected(error, sent.link)
            elif isinstance(error, FunctionMissingError):
                self._load(sent.link)
            elif isinstance(error, SlotMovingError):
                pause = True
            else:
                raise self._final(error)
            if time.monotonic() > until_s:
                raise self._final(StoreUnavailable(str(error)))
            link = link or self._link(self._address_of(sent.packed.key))
            again.append((sent, at, link.send(Packed(sent.packed.key, _command(sent.packed, at), 1))))
        if pause:
            time.sleep(PAUSE_S)
        self._exchange([new for _, _, new in again])
        for sent, at, new in again:
            sent.replies[at] = new.replies[0]
            sent.link = new.link

    def _redirected(self, error: RedirectError, asked: Link) -> Link:
        address = Address(error.host or asked.address.host, error.port)
        if error.kind == "MOVED":
            self._topology.moved(error.slot, address)
            self._outdated = True
            return self._link(address)
        link = self._link(address)
        link.send(Packed(b"", _ASKING, 1))  # good for the one command that follows
        return link

    def _load(self, link: Link) -> None:
        (reply,) = self._replies(link, Packed(b"", _pack(("FUNCTION", "LOAD", "REPLACE", self._library)), 1))
        if isinstance(reply, hiredis.ReplyError):
            raise self._final(error_of(reply, self.name))

    def _replies(self, link: Link, packed: Packed) -> list[Any]:
        sent = link.send(packed)
        self._exchange([sent])
        return sent.replies

    def _final(self, error: Exception) -> Exception:
        """The error for the caller."""
        if isinstance(error, RedirectError):
            return StoreRefused(
                f"{self.name} is a node of a cluster: use redis+cluster://host:port,host:port"
            )
        if isinstance(error, StoreUnavailable):
            self._outdated = True
        return error

    def _look(self) -> None:
        """See where the slots are, if that is not known or may have changed."""
        if self._topology.known and not self._outdated:
            return
        with self._translated():
            self._topology.learn()
        primaries = self._topology.primaries()
        for address, link in list(self._links.items()):
            if not link.open or address not in primaries:
                link.close("its node serves no slots any more")
                del self._links[address]
        self._outdated = False

    def _address_of(self, key: bytes) -> Address:
        address = self._topology.of(key)
        if address is None:
            self._outdated = True
            raise StoreUnavailable(f"{self.name}: nobody serves the slot of this key now")
        return address

    def _link(self, address: Address) -> Link:
        link = self._links.get(address)
        if link is None or not link.usable():
            with self._translated():
                link = self._links[address] = Link(self._topology.connection(address), self.name, address)
        self._unconfirmed.add(link)
        return link

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """redis-py's errors, from connecting and logging in, as ours."""
        try:
            yield
        except redis_errors.AuthenticationError as error:
            raise StoreRefused(
                f"{self.name} refuses the credentials ({error}): mend the user and password"
            ) from error
        except redis_errors.InvalidResponse as error:
            raise StoreRefused(
                f"{self.name} answers, but not as Redis does: another service listens there; mend redis.url"
            ) from error
        except redis_errors.ResponseError as error:
            if _NO_CLUSTER in str(error):
                raise StoreRefused(f"{self.name} is no cluster: use redis://") from error
            raise error_of(error, self.name) from error
        except (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError) as error:
            self._outdated = True
            why = " ".join(str(error).split()) or type(error).__name__
            raise StoreUnavailable(f"{self.name} cannot be reached ({why}): is it running?") from error


def _pack(args: Args) -> bytes:
    """A command in the Redis protocol. Its name may be of two words."""
    name = args[0]
    words = name.split() if isinstance(name, str) else [name]
    packed: bytes = hiredis.pack_command((*words, *args[1:]))
    return packed


def _command(packed: Packed, at: int) -> bytes:
    """The command of this number alone."""
    if packed.commands == 1:
        return packed.resp
    reader = hiredis.Reader()
    reader.feed(packed.resp)
    for _ in range(at):
        reader.gets()
    return _pack(tuple(reader.gets()))


def _parsed(args: Args, reply: Any) -> Any:
    parser = _PARSERS.get(str(args[0]))
    return parser(reply) if parser is not None else reply


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    address = parts.netloc.rpartition("@")[2]
    return f"Redis at {address or parts.path or repr(url)}"
