"""By which link an answer leaves, and in which parts: its own, whatever link the question came by."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any

import pytest

from gateway.compiled import COMPILED
from gateway.flow.messages import ACCEPTED, Mt, Outcome, Sending
from gateway.links.routes import NO_LINK, Routes
from gateway.smpp.codec import HEADER, decode
from gateway.smpp.constants import Version
from gateway.smpp.pdu import Address, Pdu, SubmitSm, SubmitSmResp
from gateway.sms.alphabets import Alphabet
from gateway.sms.segments import Method, Style

pytestmark = pytest.mark.skipif(COMPILED, reason="compiled code takes a Connection only, and no stand-in")


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

    def request(
        self,
        body: bytes,
        command_id: int,
        then: Callable[[Pdu], None],
        _not_after_s: float,
        *,
        throttled: bool = False,
    ) -> None:
        self.sent.append(decode(HEADER.pack(16 + len(body), command_id, 0, 1) + body))
        then(SubmitSmResp())


def routes(*links: tuple[str, Style, Peer]) -> Routes:
    made = Routes(lambda link, status: None, lambda route: None, lambda link, message_id: None)
    names = [name for name, _, _ in links]
    for name, style, peer in links:
        made.register(name, SubmitSm, style, [other for other in names if other != name])
        anything: Any = peer
        made.add(name, anything)
    return made


def sent(by: Routes, route: str, mt: Mt) -> Outcome:
    """What becomes of it, which these peers tell at once."""
    outcomes: list[Outcome] = []
    by.send_then(route, mt, outcomes.append)
    (outcome,) = outcomes
    return outcome


def answer(text: str) -> Mt:
    return Mt(Address(0, 1, "10086"), Address(1, 1, "8613800000001"), text, inf)


def test_an_answer_is_cut_for_the_link_by_which_it_leaves() -> None:
    """The question's link is down: another of the carrier, with another alphabet and method, serves."""
    down = Peer(usable=False)
    up = Peer()
    both = routes(("a", Style(Alphabet.GSM), down), ("b", Style(Alphabet.GSM_PACKED, Method.SAR), up))
    assert sent(both, "a", answer("a" * 200)) == ACCEPTED
    assert down.sent == []
    assert [len(pdu.short_message) for pdu in up.sent] == [133, 42]
    assert all(pdu.tlvs for pdu in up.sent)


def test_a_link_of_smpp_33_gets_no_tlvs() -> None:
    """As agreed at bind time, whatever the configuration asks for."""
    old = Peer(Version.V3_3)
    link = routes(("a", Style(method=Method.PAYLOAD), old))
    assert sent(link, "a", answer("查" * 100)) == ACCEPTED
    assert [pdu.tlvs for pdu in old.sent] == [(), ()]
    assert all(pdu.esm_class == 0x40 for pdu in old.sent)


def test_each_answer_has_its_own_reference() -> None:
    """So that a phone never joins parts of two answers."""
    peer = Peer()
    one = routes(("a", Style(), peer))
    for _ in range(3):
        sent(one, "a", answer("查" * 100))
    references = [pdu.short_message[3] for pdu in peer.sent]
    assert references[::2] == references[1::2]
    assert len(set(references)) == 3


def test_no_link_at_all() -> None:
    """The answer waits in the park."""
    assert sent(routes(("a", Style(), Peer(usable=False))), "a", answer("x")) == NO_LINK


def test_what_cannot_be_encoded_is_given_up() -> None:
    """A recipient that no PDU has room for: tried again, it would be no shorter."""
    peer = Peer()
    mt = replace(answer("x"), destination=Address(1, 1, "1" * 21))
    assert sent(routes(("a", Style(), peer)), "a", mt) == Outcome(Sending.REFUSED, "unencodable")
    assert peer.sent == []


def test_short_answers_are_encoded_once_and_go_to_each() -> None:
    """The same words from the same number, to several."""
    peer = Peer()
    one = routes(("a", Style(), peer))
    for digits in ("8613800000001", "8613800000002"):
        assert sent(one, "a", replace(answer("x"), destination=Address(1, 1, digits))) == ACCEPTED
    assert [pdu.destination.digits for pdu in peer.sent] == ["8613800000001", "8613800000002"]
    assert {(pdu.source.digits, pdu.short_message) for pdu in peer.sent} == {("10086", b"x")}
