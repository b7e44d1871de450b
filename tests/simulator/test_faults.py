"""Faults on order: each does what it says for as long as it says, and nothing after."""

from typing import Any

import pytest
from smpplib import consts

from gateway.simulator.faults import OrderError
from tests.simulator.simulated import World


def test_refuse_submit_counts_down() -> None:
    """The next submit_sm get the ordered status and are not shown; then all is well again."""
    world = World()
    esme = world.esme().bind()
    world.smsc.order({"refuse_submit": {"count": 2, "status": "ESME_RMSGQFUL"}})
    for sequence in (2, 3, 4):
        esme.submit(sequence)
    full = consts.SMPP_ESME_RMSGQFUL
    assert [pdu.status for pdu in esme.heard("submit_sm_resp")] == [full, full, 0]
    assert len(world.smsc.history.of("8613800000000")) == 1
    assert world.smsc.faults.as_json() == {}


def test_refuse_bind() -> None:
    """The next bind is refused, the one after is not."""
    world = World()
    world.smsc.order({"refuse_bind": {"status": 0x0D}})
    esme = world.esme().bind().bind()
    assert [pdu.status for pdu in esme.heard()] == [0x0D, 0]


def test_ignore_submit_and_lose_submit_resp() -> None:
    """Both take the text and never answer; the second also resets the connection."""
    world = World()
    esme = world.esme().bind()
    world.smsc.order({"ignore_submit": {}, "lose_submit_resp": None})
    esme.submit(2)
    esme.submit(3)
    assert [pdu.sequence for pdu in esme.heard("submit_sm_resp")] == [3]
    world.smsc.order({"lose_submit_resp": {}})
    esme.submit(4)
    assert esme.closed
    assert len(world.smsc.history.of("8613800000000")) == 3


def test_duplicate_deliver() -> None:
    """The next deliver_sm goes out twice, and the text is acknowledged once."""
    world = World()
    esme = world.esme().bind()
    world.smsc.order({"duplicate_deliver": {"count": 1}})
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    one, two = esme.answer_deliveries()
    assert (one.short_message, one.sequence != two.sequence) == (two.short_message, True)
    assert world.kinds().count("mo_acknowledged") == 1
    assert (message.state, message.attempts) == ("acknowledged", 2)


def test_stall_responses() -> None:
    """Responses wait until the time is over and come in order; requests go out meanwhile."""
    world = World()
    esme = world.esme().bind()
    esme.heard()
    world.smsc.order({"stall_responses": {"seconds": 5}})
    esme.submit(2)
    esme.submit(3)
    world.smsc.send("8613800000000", "10086", "CXMYD")
    world.clock.advance(4.9)
    assert [pdu.command for pdu in esme.heard()] == ["deliver_sm"]
    world.clock.advance(0.2)
    assert [pdu.sequence for pdu in esme.heard("submit_sm_resp")] == [2, 3]


def test_mute_is_a_half_open_link() -> None:
    """Nothing comes and nothing that arrives is looked at until the time is over; then nothing is lost."""
    world = World()
    esme = world.esme().bind()
    esme.heard()
    world.smsc.order({"mute": {"seconds": 5}})
    esme.say("enquire_link", 2)
    world.smsc.send("8613800000000", "10086", "CXMYD")
    world.clock.advance(4)
    assert not esme.heard()
    world.clock.advance(2)
    assert sorted(pdu.command for pdu in esme.heard()) == ["deliver_sm", "enquire_link_resp"]


def test_fragment_writes_in_pieces() -> None:
    """Each write holds so many octets, with a pause between, and the whole is the same."""
    world = World()
    esme = world.esme().bind()
    esme.heard()
    world.smsc.order({"fragment": {"bytes": 3, "delay_s": 0.5}})
    esme.wrote.clear()
    esme._taken = 0
    esme.say("enquire_link", 2)
    esme.say("enquire_link", 3)
    assert [len(piece) for piece in esme.wrote] == [3]
    world.clock.advance(10)
    assert max(map(len, esme.wrote)) == 3
    assert [pdu.sequence for pdu in esme.heard()] == [2, 3]
    world.smsc.order({"fragment": None})
    esme.say("enquire_link", 4)
    assert len(esme.wrote[-1]) == 16


def test_drop_unbind_and_enquire_link_at_once() -> None:
    """The acts happen when they are ordered, to every connection."""
    world = World()
    esmes = [world.esme().bind() for _ in range(2)]
    world.smsc.order({"enquire_link": True, "unbind": True})
    assert [pdu.command for pdu in esmes[0].heard()][1:] == ["enquire_link", "unbind"]
    world.smsc.order({"drop": True})
    assert all(esme.closed for esme in esmes)


def test_clear_withdraws_everything() -> None:
    """`clear` leaves no order in force."""
    world = World()
    world.smsc.order({"mute": {}, "fragment": {}, "refuse_submit": {"count": 5}})
    assert set(world.smsc.faults.as_json()) == {"mute", "fragment", "refuse_submit"}
    assert world.smsc.order({"clear": True}) == {}


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        ({"refuse_sumbit": {}}, "unknown fault 'refuse_sumbit'"),
        ({"refuse_submit": 3}, "an object of settings"),
        ({"refuse_submit": {"counts": 3}}, "no setting 'counts'"),
        ({"refuse_submit": {"count": 0}}, "whole number from 1"),
        ({"refuse_submit": {"count": True}}, "must be a whole number"),
        ({"refuse_submit": {"status": "ESME_RNONSENSE"}}, "unknown command_status"),
        ({"mute": {"seconds": -1}}, "from 0 to 86400"),
    ],
)
def test_impossible_orders(orders: dict[str, Any], why: str) -> None:
    """An order that cannot be carried out says which setting is wrong, and changes nothing."""
    world = World()
    with pytest.raises(OrderError, match=why):
        world.smsc.order(orders)
    assert world.smsc.faults.as_json() == {}
