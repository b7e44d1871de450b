"""What the simulated SMSC answers, sends and reports wrongly on order, by name or by address; and its
versions and limits.
"""

from typing import Any

import pytest
from smpplib import consts

from gateway.simulator import pdus
from gateway.simulator.faults import ADDRESSES, FAULTS
from gateway.simulator.pdus import PduError
from gateway.simulator.session import VERSION_50
from tests.simulator.simulated import Esme, World

NUMBER, SERVICE = "8613800000000", "10086"
VERSION_33 = 0x33


def bound(world: World, **fields: Any) -> Esme:
    esme = world.esme().bind(**fields)
    esme.heard()
    return esme


def frames(esme: Esme) -> list[bytes]:
    """All that was written since the bind, whole writes."""
    return esme.wrote[1:]


@pytest.mark.parametrize(
    ("fault", "sequences"),
    [("repeat_response", [2, 2]), ("wrong_sequence", [1_000_002]), ("stray_response", [1_000_002, 2])],
)
def test_responses_go_astray(fault: str, sequences: list[int]) -> None:
    """Twice, to nobody, or to somebody else as well; the next one is right."""
    world = World()
    esme = bound(world)
    world.smsc.order({fault: {}})
    esme.submit(2)
    assert [pdu.sequence for pdu in esme.heard("submit_sm_resp")] == sequences
    esme.submit(3)
    assert [pdu.sequence for pdu in esme.heard("submit_sm_resp")] == [3]


def test_late_response_is_overtaken() -> None:
    """It comes when its time is over; what was asked later is answered before."""
    world = World()
    esme = bound(world)
    world.smsc.order({"late_response": {"seconds": 3}})
    esme.submit(2)
    esme.submit(3)
    world.clock.advance(4)
    assert [pdu.sequence for pdu in esme.heard("submit_sm_resp")] == [3, 2]


def test_nack_instead_of_a_response() -> None:
    """generic_nack with the ordered status, and the text is not taken."""
    world = World()
    esme = bound(world)
    world.smsc.order({"nack_submit": {"status": "ESME_RTHROTTLED"}})
    esme.submit(2)
    (nack,) = esme.heard()
    assert (nack.command, nack.sequence, nack.status) == ("generic_nack", 2, consts.SMPP_ESME_RTHROTTLED)
    assert not world.smsc.history.of(NUMBER)


def test_message_id_and_receipt_in_other_forms() -> None:
    """The response's id is upper case, the receipt's decimal: the same number."""
    world = World()
    esme = bound(world)
    world.smsc.order({"odd_message_id": {"form": "upper"}, "odd_receipt": {"form": "decimal_id"}})
    esme.submit(2, registered_delivery=1)
    (response,) = esme.heard("submit_sm_resp")
    world.clock.advance(1)
    (receipt,) = esme.heard("deliver_sm")
    told = receipt.short_message.split()[0].removeprefix(b"id:")
    assert response.message_id == response.message_id.upper()
    assert int(response.message_id, 16) == int(told)
    assert receipt.receipted_message_id is None


@pytest.mark.parametrize(
    ("order", "registered_delivery", "receipts"),
    [
        ({}, 0, 0),
        ({}, 1, 1),
        ({}, 2, 0),
        ({"receipt_state": {"form": "UNDELIV"}}, 2, 1),
        ({"receipt_state": {"form": "UNDELIV"}}, 3, 0),
        ({"no_receipt": {}}, 1, 0),
        ({"repeat_receipt": {}}, 1, 2),
    ],
)
def test_receipts_that_were_asked_for(order: dict[str, Any], registered_delivery: int, receipts: int) -> None:
    """Of every end, of failures or of successes (SMPP 3.4 section 5.2.17, 5.0 section 4.7.21)."""
    world = World()
    esme = bound(world)
    world.smsc.order(order)
    esme.submit(2, registered_delivery=registered_delivery)
    world.clock.advance(1)
    assert len(esme.heard("deliver_sm")) == receipts


def test_early_receipt_comes_before_the_response() -> None:
    world = World()
    esme = bound(world)
    world.smsc.order({"early_receipt": {}})
    esme.submit(2, registered_delivery=1)
    assert [pdu.command for pdu in esme.heard()] == ["deliver_sm", "submit_sm_resp"]


@pytest.mark.parametrize("form", FAULTS["damage_deliver"].forms)
def test_damaged_deliver_sm(form: str) -> None:
    """Missing NULs and lying lengths cannot be read, unknown TLVs and padding can be told from nothing."""
    world = World()
    esme = bound(world)
    world.smsc.order({"damage_deliver": {"form": form}})
    world.smsc.send(NUMBER, SERVICE, "CXMYD")
    (frame,) = frames(esme)
    assert int.from_bytes(frame[:4], "big") == len(frame)
    if form == "unknown_tlv":
        assert pdus.decode(frame).short_message == b"CXMYD"
    else:
        with pytest.raises(PduError):
            pdus.decode(frame)


def test_cut_and_unbind_around_a_deliver_sm() -> None:
    """Half of it and a reset; a farewell right behind it."""
    world = World()
    esme = bound(world)
    world.smsc.order({"cut_deliver": {}})
    world.smsc.send(NUMBER, SERVICE, "CXMYD")
    (half,) = frames(esme)
    assert esme.closed
    assert len(half) < int.from_bytes(half[:4], "big")
    world.smsc.order({"unbind_after_deliver": {}})
    again = world.esme().bind()
    assert [pdu.command for pdu in again.heard()][1:] == ["deliver_sm", "unbind"]


def test_acts_on_a_bound_connection() -> None:
    """Questions, octets and silence; nothing on one that is not bound."""
    world = World()
    stranger, esme = world.esme(), bound(world)
    world.smsc.order({"enquire_storm": {"count": 20}})
    assert len(esme.heard("enquire_link")) == 20
    world.smsc.order({"unknown_command": {}})
    assert esme.wrote[-1][4:8] == b"\x00\x00\x00\xff"
    world.smsc.order({"lying_length": {"form": "short"}})
    assert esme.wrote[-1][:4] == b"\x00\x00\x00\x0f"
    world.smsc.order({"garbage": {"bytes": 3}})
    assert esme.wrote[-1] == b"GET"
    world.smsc.order({"stall_reading": {"seconds": 5}})
    assert esme.unread
    world.clock.advance(6)
    assert not esme.unread
    assert not stranger.wrote


def test_binds_ignored_and_late() -> None:
    """The first is never answered, the second when its time is over."""
    world = World()
    world.smsc.order({"ignore_bind": {}})
    esme = world.esme().bind()
    assert not esme.heard()
    world.smsc.order({"late_bind": {"seconds": 2}})
    esme.bind()
    assert not esme.heard()
    world.clock.advance(3)
    assert [pdu.command for pdu in esme.heard()] == ["bind_transceiver_resp"]


def test_addresses_order_faults() -> None:
    """Only where switched on, only with the prefix, each time again."""
    plain, world = World(), World(faults_by_address="999")
    for each, statuses in ((plain, [0, 0, 0]), (world, [0x58, 0x58, 0])):
        esme = bound(each)
        for sequence, number in enumerate(("9990000058", "9990000058", "8613800000058"), start=2):
            esme.submit(sequence, destination_addr=number)
        assert [pdu.status for pdu in esme.heard("submit_sm_resp")] == statuses
    esme = bound(world)
    esme.submit(5, destination_addr="9990001401")
    assert esme.closed


def test_every_code_of_an_address_is_an_order() -> None:
    """With settings that the fault takes."""
    world = World()
    for name, settings in ADDRESSES.values():
        assert world.smsc.faults.checked(name, settings) is not None


def test_version_33() -> None:
    """No TLVs, no data_sm, no bind_transceiver, ids of eight digits."""
    world = World(version=VERSION_33)
    esme = world.esme().bind()
    assert [pdu.status for pdu in esme.heard("generic_nack")] == [consts.SMPP_ESME_RINVCMDID]
    for name in ("bind_transmitter", "bind_receiver"):
        esme = world.esme().bind(name)
        (response,) = esme.heard()
        assert response.sc_interface_version is None
        if name == "bind_transmitter":
            esme.submit(2)
            assert len(esme.heard()[0].message_id) == 8
    world.smsc.send(NUMBER, SERVICE, "CXMYD")
    (text,) = esme.heard("deliver_sm")
    assert text.receipted_message_id is None


def test_version_50_tells_of_congestion() -> None:
    """congestion_state to those who speak 5.0, as ordered or as far as their rate is used up."""
    world = World(version=VERSION_50, rate_per_s=4)
    new, old = world.esme(), bound(world)
    bind = pdus.encode("bind_transceiver", 1, system_id="new", password="secret")
    new.session.data_received(bind[:-4] + bytes([VERSION_50]) + bind[-3:])  # smpplib says 3.4 always
    for esme in (new, old):
        esme.submit(2)
    assert new.wrote[-1].endswith(b"\x04\x28\x00\x01\x19")  # a quarter
    assert b"\x04\x28" not in old.wrote[-1]
    world.smsc.order({"congestion": {"percent": 90}})
    new.submit(3)
    assert new.wrote[-1].endswith(b"\x04\x28\x00\x01\x5a")
    assert [link.version for link in world.smsc.links()] == ["5.0", "3.4"]


def test_rate_and_window_of_an_esme() -> None:
    """More than the rate, or more than may be unanswered, gets ESME_RTHROTTLED."""
    world = World(rate_per_s=2)
    esme = bound(world)
    for sequence in range(2, 6):
        esme.submit(sequence)
    world.clock.advance(0.5)
    esme.submit(6)
    throttled = consts.SMPP_ESME_RTHROTTLED
    assert [pdu.status for pdu in esme.heard("submit_sm_resp")] == [0, 0, throttled, throttled, 0]
    world = World(submit_window=1, response_s=1.0)
    esme = bound(world)
    esme.submit(2)
    esme.submit(3)
    world.clock.advance(2)
    esme.submit(4)
    world.clock.advance(2)
    assert [pdu.status for pdu in esme.heard("submit_sm_resp")] == [0, throttled, 0]


def test_lying_settings_are_named() -> None:
    """Each with its range or its choices."""
    world = World()
    for order, why in (
        ({"odd_receipt": {"form": "none"}}, "odd_receipt.form must be one of no_counts, "),
        ({"congestion": {"percent": 101}}, "congestion.percent must be a whole number from 0 to 100"),
        ({"drop": {"count": 1}}, "drop has no setting 'count'; it takes none"),
    ):
        with pytest.raises(ValueError, match=why):
            world.smsc.order(order)
