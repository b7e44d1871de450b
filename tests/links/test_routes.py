"""By which link an answer leaves, and in which parts: its own, whatever link the question came by."""

import asyncio
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gateway.flow.messages import ACCEPTED, Mt
from gateway.links.routes import NO_LINK, Routes
from gateway.smpp.constants import Version
from gateway.smpp.pdu import Address, Pdu, SubmitSm, SubmitSmResp
from gateway.sms.alphabets import Alphabet
from gateway.sms.segments import Method, Style


@dataclass
class Peer:
    """A bound connection whose SMSC takes everything."""

    version: Version = Version.V3_4
    usable: bool = True
    load: int = 0
    sent: list[Any] = field(default_factory=list)

    @property
    def session(self) -> "Peer":
        return self

    async def request(self, pdu: Pdu, not_after_s: float, *, throttled: bool = False) -> Pdu:
        self.sent.append(pdu)
        return SubmitSmResp()


def routes(*links: tuple[str, Style, Peer]) -> Routes:
    made = Routes(lambda link, status: None, lambda route: None, lambda link, message_id: None)
    names = [name for name, _, _ in links]
    for name, style, peer in links:
        made.register(name, SubmitSm, style, [other for other in names if other != name])
        anything: Any = peer
        made.add(name, anything)
    return made


def answer(text: str) -> Mt:
    return Mt(Address(0, 1, "10086"), Address(1, 1, "8613800000001"), text, inf)


def test_an_answer_is_cut_for_the_link_by_which_it_leaves() -> None:
    """The question's link is down: another of the carrier, with another alphabet and method, serves."""
    down = Peer(usable=False)
    up = Peer()
    both = routes(("a", Style(Alphabet.GSM), down), ("b", Style(Alphabet.GSM_PACKED, Method.SAR), up))
    assert asyncio.run(both.send("a", answer("a" * 200))) == ACCEPTED
    assert down.sent == []
    assert [len(pdu.short_message) for pdu in up.sent] == [133, 42]
    assert all(pdu.tlvs for pdu in up.sent)


def test_a_link_of_smpp_33_gets_no_tlvs() -> None:
    """As agreed at bind time, whatever the configuration asks for."""
    old = Peer(Version.V3_3)
    link = routes(("a", Style(method=Method.PAYLOAD), old))
    assert asyncio.run(link.send("a", answer("查" * 100))) == ACCEPTED
    assert [pdu.tlvs for pdu in old.sent] == [(), ()]
    assert all(pdu.esm_class == 0x40 for pdu in old.sent)


def test_each_answer_has_its_own_reference() -> None:
    """So that a phone never joins parts of two answers."""
    peer = Peer()
    one = routes(("a", Style(), peer))
    for _ in range(3):
        asyncio.run(one.send("a", answer("查" * 100)))
    references = [pdu.short_message[3] for pdu in peer.sent]
    assert references[::2] == references[1::2]
    assert len(set(references)) == 3


def test_no_link_at_all() -> None:
    """The answer waits in the park."""
    assert asyncio.run(routes(("a", Style(), Peer(usable=False))).send("a", answer("x"))) == NO_LINK
