"""The listener that the ESME under test binds to, and all its connections: what a scenario is given.

Invariant: between scenarios every connection is on autopilot, and bound or gone. Made by `runner`.
"""

import asyncio
import re
import socket
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

from gateway.errors import GatewayError
from gateway.simulator.conformance import wire
from gateway.simulator.conformance.peer import Bell, Peer
from gateway.simulator.conformance.record import Record
from gateway.simulator.conformance.verdicts import Failed, Inconclusive, NotApplicable, Options
from gateway.simulator.conformance.wire import Received

T = TypeVar("T")

# A stalled reader shall be felt by the ESME after some PDUs, not after megabytes.
_RECEIVE_BUFFER_OCTETS = 16_384
# The loop, the scheduler and the network: what is granted beyond a configured time.
GRACE_S = 1.0
# Between scenarios an ESME that was told to slow down may take its time for a text.
_RECOVERY_S = 5.0


class ListenError(GatewayError):
    """The address cannot be listened on."""


@dataclass(frozen=True)
class Mo:
    """One text of a phone to the ESME; unlike every other of the run where the options let it be."""

    sender: str
    service: str
    text: str

    def body(self, short_message: bytes | None = None, **fields: Any) -> bytes:
        """The body of a deliver_sm with it; `fields` as `wire.message_body`."""
        octets = self.text.encode("ascii", "replace") if short_message is None else short_message
        return wire.message_body(self.sender, self.service, octets, **fields)


class Lab:
    """`start` listens; scenarios use the rest."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.timing = options.timing
        self.record = Record()
        self.bell = Bell()
        self.peers: list[Peer] = []  # all there ever were, in the order they connected
        self.port = 0
        self._submitted: defaultdict[str, list[Received]] = defaultdict(list)  # by the phone
        self._awaited: list[asyncio.Future[Peer]] = []
        # An ESME that lives on from an earlier run still knows the phones of that one.
        self._numbers = count(1)  # of connections
        self._counter = count(int(time.time() * 10) % 10_000_000)
        #: A scenario's policy for the binds of the next connections: the command_status to answer with.
        self.admit: Callable[[Received], int] = self.check_bind
        #: A scenario's deed on every connection that opens.
        self.greet: Callable[[Peer], object] = _leave_alone

    async def start(self) -> None:
        """Listen. Raises ListenError."""
        options = self.options
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
        # asyncio sets TCP_NODELAY on what it accepts only if the socket says that it is TCP.
        listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_OCTETS)
        try:
            listening.bind((options.host, options.port))
        except OSError as error:
            listening.close()
            raise ListenError(
                f"cannot listen on {options.host}:{options.port}: {error.strerror}; "
                "choose another with --smpp HOST:PORT"
            ) from None
        self.port = listening.getsockname()[1]
        self._server = await loop.create_server(self._connected, sock=listening)

    async def stop(self) -> None:
        """Unbind what is bound, and listen no more."""
        self._server.close()
        for peer in self.open_peers:
            if peer.bound and not peer.mute:
                peer.request("unbind")
        find: Callable[[], bool | None] = lambda: not any(peer.bound for peer in self.peers) or None  # noqa: E731
        for peer in self.open_peers:
            peer.mute = True  # whoever binds again is not admitted
        await self.bell.wait_for(find, 0.2)
        for peer in self.open_peers:
            peer.close()

    def _connected(self) -> Peer:
        peer = Peer(next(self._numbers), self.record, self.bell, self.timing)
        peer.admit = self.admit
        peer.greet = lambda: self._opened(peer)
        peer.notice = self._notice
        return peer

    def _opened(self, peer: Peer) -> None:
        self.peers.append(peer)
        if self._awaited:
            peer.held = True
            asyncio.get_running_loop().call_soon(self._hand_over, self._awaited.pop(0), peer)
        self.greet(peer)

    @staticmethod
    def _hand_over(awaited: asyncio.Future[Peer], peer: Peer) -> None:
        if not awaited.done():  # nobody waits any more: `tidy` closes what is held
            awaited.set_result(peer)

    def _notice(self, received: Received) -> None:
        if received.name in ("submit_sm", "data_sm"):
            self._submitted[destination(received).lstrip("+")].append(received)

    def check_bind(self, bind: Received) -> int:
        """The command_status for a bind: whether its name and password are those of the options."""
        strings = [field.decode("latin-1") for field in bind.frame[wire.HEADER_OCTETS :].split(b"\0")]
        system_id, password = (*strings, "", "")[:2]
        if self.options.system_id not in (None, system_id):
            return wire.RINVSYSID
        return wire.ROK if self.options.password in (None, password) else wire.RINVPASWD

    # connections

    @property
    def open_peers(self) -> list[Peer]:
        return [peer for peer in self.peers if not peer.closed]

    @property
    def patience_s(self) -> float:
        """How long the ESME may take to be bound again."""
        return self.timing.reconnect_s + self.timing.response_s + GRACE_S

    async def wait_for(self, find: Callable[[], T | None], within_s: float) -> T | None:
        """What `find` gives, tried whenever anything happens on any connection; None after `within_s`."""
        return await self.bell.wait_for(find, within_s)

    async def bound(self, *, receives: bool | None = None, transmits: bool | None = None) -> Peer:
        """A bound connection on autopilot (the newest) that can do this; waits until there is one.
        Inconclusive when the ESME does not bind in time.
        """

        def find() -> Peer | None:
            for peer in reversed(self.open_peers):
                able = receives in (None, peer.receives) and transmits in (None, peer.transmits)
                if able and peer.bound and not peer.mute:
                    return peer
            return None

        peer = await self.wait_for(find, self.patience_s)
        if peer is None:
            raise Inconclusive(f"the ESME was not bound within {self.patience_s:g} s")
        return peer

    async def all_bound(self, *, extra_s: float = 0.0) -> None:
        """Wait until the ESME has all its binds. Fails when it has not in time; `extra_s`: what it may
        take beside its pause between two attempts.
        """

        def find() -> bool | None:
            return sum(peer.bound and not peer.mute for peer in self.open_peers) >= self.options.binds or None

        wait_s = self.patience_s + extra_s
        if not await self.wait_for(find, wait_s):
            raise Failed(f"the ESME to be bound within {wait_s:g} s", "it is not")

    async def next_connection(self, *, within_s: float | None = None) -> Peer:
        """The next connection that the ESME opens; its bind waits for the scenario (`Peer.bind_request`)."""
        wait_s = self.patience_s if within_s is None else within_s
        awaited: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()
        self._awaited.append(awaited)
        try:
            return await asyncio.wait_for(awaited, wait_s)
        except TimeoutError:
            raise Inconclusive(f"the ESME did not connect again within {wait_s:g} s") from None
        finally:
            if awaited in self._awaited:
                self._awaited.remove(awaited)

    async def fresh(self) -> Peer:
        """Close all connections and take the next one that the ESME opens, before its bind is answered."""
        for peer in self.open_peers:
            peer.close()
        return await self.next_connection()

    async def knock(self, *, receives: bool | None = None) -> tuple[Peer, Received]:
        """As `fresh`, with its bind request, that is not answered yet; of a bind that may receive, or may
        not, where that is asked for.
        """
        peer = await self.fresh()
        for _ in range(self.options.binds + 1):
            bind = await peer.bind_request()
            if receives in (None, bind.name != "bind_transmitter"):
                return peer, bind
            peer.held = False
            peer.accept_bind(bind)
            peer = await self.next_connection()
        raise NotApplicable("the ESME makes no such bind")

    # texts

    def mo(self, text: str | None = None) -> Mo:
        """The next text that the ESME is to get."""
        number = next(self._counter)
        pattern = self.options.mo

        def fill(template: str) -> str:
            return re.sub("#+", lambda run: str(number).zfill(len(run[0]))[-len(run[0]) :], template)

        return Mo(fill(pattern.sender), pattern.service, fill(pattern.text) if text is None else text)

    async def deliver(self, peer: Peer | None = None, mo: Mo | None = None) -> tuple[Mo, Received]:
        """Send an ordinary deliver_sm, and its answer."""
        to = peer or await self.bound(receives=True)
        text = mo or self.mo()
        return text, await to.ask("deliver_sm", text.body())

    def answers_to(self, mo: Mo) -> list[Received]:
        """The submit_sm (or data_sm) for this phone so far; of a text in parts the first part only."""
        return [submit for submit in self._submitted[mo.sender.lstrip("+")] if begins(submit)]

    async def provoke_submit(self) -> tuple[Mo, Peer, Received]:
        """Let the ESME answer a text, and hold back the submit_sm_resp: the text, the submit_sm and the
        connection it came by. Inconclusive when none comes.
        """
        await self.all_bound()
        for peer in self.open_peers:
            peer.auto.discard("submit_sm")
        receiver, mo = await self.bound(receives=True), self.mo()
        receiver.request("deliver_sm", mo.body())
        await self.wait_for(lambda: self.answers_to(mo) or None, self.timing.response_s)
        for peer in self.open_peers:
            for submit in self.answers_to(mo):
                if submit in peer.inbox:
                    submit.claimed = True
                    return mo, peer, submit
        raise Inconclusive("the ESME did not answer the text of --mo")

    async def answer_to(self, mo: Mo, *, within_s: float | None = None) -> Received:
        """The submit_sm that answers this text. Fails when none comes; not applicable without --mo."""
        if not self.options.mo.answers:
            raise NotApplicable("needs --mo: a text that the ESME answers with a submit_sm")
        wait_s = self.timing.response_s if within_s is None else within_s
        await self.wait_for(lambda: self.answers_to(mo) or None, wait_s)
        answers = self.answers_to(mo)
        if not answers:
            raise Failed(f"a submit_sm that answers the text of --mo within {wait_s:g} s", "none came")
        return answers[0]

    # between scenarios

    async def tidy(self) -> None:
        """Give every connection back to the autopilot; close those that are not bound, or were muted."""
        for awaited in self._awaited:
            awaited.cancel()
        self._awaited.clear()
        self.admit, self.greet = self.check_bind, _leave_alone
        for peer in self.open_peers:
            peer.resume()
            if peer.mute or not peer.bound:
                peer.close()
            peer.give_back()

    async def check_health(self) -> None:
        """Whether the ESME is bound, answers enquire_link and a text. Raises Failed."""
        await self.all_bound()
        peer = await self.bound()
        await peer.ask("enquire_link")
        if self.options.bind == "transmitter":
            return
        mo, response = await self.deliver(await self.bound(receives=True))
        until_s = self.record.now_s() + self.timing.response_s
        while response.status in wire.TEMPORARY and self.record.now_s() < until_s:  # it comes again, then
            await asyncio.sleep(self.timing.quiet_s)
            _, response = await self.deliver(await self.bound(receives=True), mo)
        if response.name != "deliver_sm_resp" or response.status == wire.RINVBNDSTS:
            raise Failed("deliver_sm_resp to an ordinary deliver_sm on a bound session", f"{response} came")
        if self.options.mo.answers:
            await self.answer_to(mo, within_s=self.timing.response_s + _RECOVERY_S)
            if len(self.answers_to(mo)) > 1:
                raise Failed("one submit_sm in answer to one text", f"{len(self.answers_to(mo))} came")


def _leave_alone(peer: Peer) -> None:
    """Do nothing with a connection that opens."""


def destination(received: Received) -> str:
    """destination_addr of a submit_sm or data_sm, read by position (both begin alike)."""
    body = received.frame[wire.HEADER_OCTETS :]
    after_service = body[body.find(b"\0") + 3 :]
    after_source = after_service[after_service.find(b"\0") + 3 :]
    return after_source[: after_source.find(b"\0")].decode("latin-1")


def begins(received: Received) -> bool:
    """Whether this is a whole text or the first of its parts."""
    try:
        sm = received.decoded()
    except Exception:  # noqa: BLE001 - a damaged one is judged elsewhere, and is one all the same
        return True
    text: bytes = getattr(sm, "short_message", None) or getattr(sm, "message_payload", None) or b""
    if (sm.esm_class or 0) & 0x40 and text:
        header, at = text[1 : 1 + text[0]], 0
        while at + 2 <= len(header):
            if header[at] in (0x00, 0x08):  # concatenation, 3GPP 23.040 9.2.3.24.1 and .8
                return header[at + 1 + header[at + 1]] == 1
            at += 2 + header[at + 1]
    return (getattr(sm, "sar_segment_seqnum", None) or 1) == 1
