"""Answers every submit_sm of the ESME as a scenario has it, and remembers what became of each phone's answer.

A text is accepted when the first of its parts got ESME_ROK. Called by the scenarios that refuse, delay or
count submit_sm.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable

from gateway.simulator.conformance import wire
from gateway.simulator.conformance.lab import Lab, Mo, begins, destination
from gateway.simulator.conformance.peer import Peer
from gateway.simulator.conformance.verdicts import Failed, Inconclusive
from gateway.simulator.conformance.wire import Received

#: Which command_status a submit_sm gets; None: it has no answer yet, `Desk.answer` gives it one.
Policy = Callable[[Received], int | None]


class Desk:
    """In place of the autopilot, on all connections that are bound; `tidy` of the lab gives them back."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._given: dict[Received, int] = {}  # in the order in which they were answered
        self._of_phone: defaultdict[str, list[Received]] = defaultdict(list)  # of texts in parts the first
        self._waiting: dict[Received, Peer] = {}
        self._read = {peer: len(peer.inbox) for peer in lab.peers}  # so many of its PDUs were looked at
        for peer in lab.open_peers:
            peer.auto.discard("submit_sm")

    async def ask(self, count: int) -> list[Mo]:
        """So many phones send the text at once."""
        peer = await self._lab.bound(receives=True)
        mos = [self._lab.mo() for _ in range(count)]
        peer.put(*(wire.pdu("deliver_sm", peer.next_sequence(), mo.body()) for mo in mos))
        return mos

    def answer(self, submit: Received, status: int) -> None:
        """Answer one now."""
        self._given[submit] = status
        peer = self._waiting.pop(submit)
        peer.respond(submit, b"" if status else wire.cstring(f"desk-{len(self._given)}"), status=status)

    async def serve(self, mos: Iterable[Mo], policy: Policy, within_s: float) -> None:
        """Until every phone's answer was accepted, at the longest so long."""
        left = list(mos)

        def find() -> bool | None:
            for submit in self.waiting():
                status = policy(submit)
                if status is not None:
                    self.answer(submit, status)
            while left and self.accepted(left[-1]):
                left.pop()
            return not left or None

        await self._lab.wait_for(find, within_s)

    def waiting(self) -> list[Received]:
        """The submit_sm without an answer, on connections where one can still be given."""
        for peer in self._lab.peers:
            inbox = peer.inbox
            for received in inbox[self._read.get(peer, 0) :]:
                if received.name == "submit_sm":
                    self._take(peer, received)
            self._read[peer] = len(inbox)
        return [submit for submit, peer in self._waiting.items() if not peer.closed]

    def _take(self, peer: Peer, submit: Received) -> None:
        if begins(submit):
            self._of_phone[destination(submit).lstrip("+")].append(submit)
        if submit.claimed:  # the autopilot has accepted it, on a connection that is new
            self._given[submit] = wire.ROK
        else:
            self._waiting[submit] = peer

    def accepted(self, mo: Mo) -> int:
        """How many answers to this phone were accepted."""
        return sum(self._given.get(submit) == wire.ROK for submit in self._of_phone[mo.sender.lstrip("+")])

    def attempts(self, mo: Mo) -> int:
        """How many times the answer to this phone was submitted."""
        self.waiting()
        return len(self._of_phone[mo.sender.lstrip("+")])

    def times_s(self) -> list[float]:
        """When each submit_sm came that was answered."""
        return [submit.at_s for submit in self._given]

    def expect_once(self, mos: Iterable[Mo], *, within: str) -> None:
        """Every phone's answer was accepted once. Inconclusive when none of them was ever submitted."""
        asked = list(mos)
        if not any(map(self.attempts, asked)):
            raise Inconclusive("the ESME did not answer the text of --mo")
        lost = sum(not self.accepted(mo) for mo in asked)
        twice = sum(self.accepted(mo) > 1 for mo in asked)
        if lost:
            raise Failed(
                f"all {len(asked)} answers to be accepted in the end", f"{lost} did not come {within}"
            )
        if twice:
            raise Failed("no answer that was accepted to come again", f"{twice} of {len(asked)} did")
