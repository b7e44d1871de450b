"""Store and forward, joining and binds of the simulated SMSC, on a clock moved by hand."""

import pytest
from smpplib import consts

from gateway.simulator import pdus
from gateway.simulator.events import Event
from gateway.simulator.session import Timers
from tests.simulator.simulated import World

TEMPORARY = consts.SMPP_ESME_RX_T_APPN


def test_text_is_delivered_and_acknowledged() -> None:
    """A text goes out as deliver_sm and is acknowledged by ESME_ROK."""
    world = World()
    esme = world.esme().bind()
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    world.clock.advance(0.02)
    (pdu,) = esme.answer_deliveries()
    assert (pdu.source_addr, pdu.destination_addr, pdu.short_message) == ("8613800000000", "10086", b"CXMYD")
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.data_coding) == (1, 1, 0)
    assert message.state == "acknowledged"
    assert message.acknowledged_ms == pytest.approx(20, abs=0.2)
    assert world.kinds() == ["link_up", "mo_sent", "mo_attempted", "mo_acknowledged"]


def test_text_waits_for_a_bind() -> None:
    """Without a receiver the text is kept, and delivered as soon as one binds; a transmitter gets nothing."""
    world = World()
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    transmitter = world.esme().bind("bind_transmitter")
    assert (world.smsc.pending(), message.attempts) == (1, 0)
    receiver = world.esme().bind("bind_receiver")
    assert len(receiver.answer_deliveries()) == 1
    assert not transmitter.heard("deliver_sm")
    assert message.state == "acknowledged"


def test_temporary_refusal_is_retried_after_the_delay() -> None:
    """A temporary refusal keeps the text: it comes again after retry_s, until it is acknowledged."""
    world = World(retry_s=1.0)
    esme = world.esme().bind()
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    esme.answer_deliveries(TEMPORARY)
    assert (message.state, message.status) == ("queued", "ESME_RX_T_APPN")
    world.clock.advance(0.9)
    assert not esme.heard("deliver_sm")
    world.clock.advance(0.2)
    assert len(esme.answer_deliveries()) == 1
    assert (message.state, message.attempts) == ("acknowledged", 2)


def test_permanent_refusal_gives_the_text_up() -> None:
    """After a permanent refusal nothing is sent again, and the refusal is shown."""
    world = World()
    esme = world.esme().bind()
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    esme.answer_deliveries(consts.SMPP_ESME_RX_P_APPN)
    world.clock.advance(20)
    assert (message.state, message.status) == ("refused", "ESME_RX_P_APPN")
    assert not esme.heard("deliver_sm")


def test_no_response_is_retried() -> None:
    """A deliver_sm that is not answered in time is sent again; the late answer to the first changes
    nothing.
    """
    world = World(timers=Timers(response_timeout_s=5), retry_s=1)
    esme = world.esme().bind()
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    (first,) = esme.heard("deliver_sm")
    world.clock.advance(6.1)
    esme.say("deliver_sm_resp", first.sequence)
    assert message.parts_acknowledged == 0
    assert len(esme.answer_deliveries()) == 1
    assert message.state == "acknowledged"


def test_drop_delivers_again_at_once_in_order() -> None:
    """What was in flight when the connection ended goes out first, in its order, on the next bind."""
    world = World(window=2)
    first = world.esme().bind()
    for text in ("one", "two", "three"):
        world.smsc.send("8613800000000", "10086", text)
    assert [pdu.short_message for pdu in first.heard("deliver_sm")] == [b"one", b"two"]
    first.abort()
    second = world.esme().bind()
    again = second.answer_deliveries() + second.answer_deliveries()
    assert [pdu.short_message for pdu in again] == [b"one", b"two", b"three"]
    assert "link_down" in world.kinds()


def test_receivers_take_turns() -> None:
    """The one with the most room is next; where all have the same, the one that has waited longest."""
    world = World()
    esmes = [world.esme().bind(), world.esme().bind()]

    def delivered(text: str, *, answers: bool) -> int:
        """To which of them."""
        world.smsc.send("8613800000000", "10086", text)
        heard = [len(esme.answer_deliveries() if answers else esme.heard("deliver_sm")) for esme in esmes]
        assert sum(heard) == 1
        return heard.index(1)

    assert [delivered("answered", answers=True) for _ in range(4)] == [0, 1, 0, 1]
    assert delivered("not answered", answers=False) == 0
    assert [delivered("answered", answers=True) for _ in range(3)] == [1, 1, 1]
    assert [link.id for link in world.smsc.links()] == [1, 2]


def test_text_expires() -> None:
    """A text that could not be delivered within its validity is given up as expired."""
    world = World(validity_s=60)
    message = world.smsc.send("8613800000000", "10086", "CXMYD")
    world.clock.advance(61)
    esme = world.esme().bind()
    assert not esme.heard("deliver_sm")
    assert message.state == "expired"


def test_long_text_is_acknowledged_with_its_last_part() -> None:
    """A long text goes out in parts with one reference and is acknowledged when all of them are."""
    world = World()
    esme = world.esme().bind()
    message = world.smsc.send("8613800000000", "10086", "x" * 200)
    one, two = esme.heard("deliver_sm")
    assert one.esm_class & 0x40
    assert one.short_message[:3] == b"\x05\x00\x03"
    assert (one.short_message[3], one.short_message[5]) == (two.short_message[3], 1)
    esme.say("deliver_sm_resp", one.sequence)
    assert "mo_acknowledged" not in world.kinds()
    esme.say("deliver_sm_resp", two.sequence)
    assert message.state == "acknowledged"


def test_answer_is_matched_to_its_question() -> None:
    """The text to a phone carries the time since the question, which knows its answer; a second one carries
    none.
    """
    world = World()
    esme = world.esme().bind()
    question = world.smsc.send("8613800000000", "10086", "CXMYD")
    world.clock.advance(0.038)
    esme.submit(2)
    esme.submit(3)
    answer, extra = [m for m in world.smsc.history.of("8613800000000") if m.direction == "mt"]
    assert answer.answer_ms == pytest.approx(38, abs=0.2)
    assert (question.answered_by, extra.answer_ms) == (answer.id, None)
    one, two = esme.heard("submit_sm_resp")
    assert one.message_id == answer.id != two.message_id


def test_parts_are_joined_in_any_order() -> None:
    """Parts of one reference make one text, whatever their order; two senders' equal references do not
    mix.
    """
    world = World()
    esme = world.esme().bind()
    udh = b"\x05\x00\x03\x07\x02"
    for source, index, text in (("10086", 2, b"phone"), ("10010", 1, b"other "), ("10086", 1, b"tele")):
        esme.submit(source_addr=source, esm_class=0x40, short_message=udh + bytes([index]) + text)
    (message,) = world.smsc.history.of("8613800000000")
    assert (message.service, message.text, message.parts) == ("10086", "telephone", 2)
    assert world.kinds()[1:] == ["mt_part", "mt_part", "mt_part", "mt_complete"]


def test_receipt_when_asked() -> None:
    """registered_delivery 1 brings a receipt, marked as such by esm_class and TLVs; it is not shown as a
    text.
    """
    world = World(receipt_delay_s=1)
    esme = world.esme().bind()
    esme.submit(registered_delivery=1)
    (response,) = esme.heard("submit_sm_resp")
    world.clock.advance(1)
    (receipt,) = esme.answer_deliveries()
    assert receipt.esm_class == 0x04
    assert receipt.receipted_message_id.rstrip("\0") == response.message_id
    assert receipt.message_state == 2
    assert b"stat:DELIVRD" in receipt.short_message
    assert len(world.smsc.history.of("8613800000000")) == 1


def test_routes_and_address_ranges() -> None:
    """A route keeps a service for one system_id, an address_range for the receivers it matches."""
    world = World(routes={"10086": "mobile"})
    unicom = world.esme().bind(system_id="unicom", address_range="^10010$")
    mobile = world.esme().bind(system_id="mobile")
    world.smsc.send("8613800000000", "10086", "a")
    assert (len(unicom.heard("deliver_sm")), len(mobile.heard("deliver_sm"))) == (0, 1)
    mobile.abort()
    world.smsc.send("8613800000000", "10010", "b")
    world.smsc.send("8613800000000", "10001", "c")
    assert [pdu.short_message for pdu in unicom.heard("deliver_sm")] == [b"b"]
    assert world.smsc.pending() == 2


def test_binds_share_the_work() -> None:
    """Several binds get texts in turn, each up to its window."""
    world = World(window=2)
    binds = [world.esme().bind() for _ in range(2)]
    for _ in range(5):
        world.smsc.send("8613800000000", "10086", "CXMYD")
    assert [len(bind.heard("deliver_sm")) for bind in binds] == [2, 2]
    assert world.smsc.pending() == 1


@pytest.mark.parametrize(
    ("rules", "status"),
    [
        ({}, consts.SMPP_ESME_ROK),
        ({"system_id": "esme", "password": "secret"}, consts.SMPP_ESME_ROK),
        ({"system_id": "other"}, consts.SMPP_ESME_RINVSYSID),
        ({"password": "other"}, consts.SMPP_ESME_RINVPASWD),
    ],
)
def test_bind_is_checked(rules: dict[str, str], status: int) -> None:
    """Any name and password bind, or only the configured ones."""
    world = World(**rules)
    (response,) = world.esme().bind().heard()
    assert (response.command, response.status) == ("bind_transceiver_resp", status)
    assert len(world.smsc.links()) == (status == 0)


def test_second_bind_and_work_without_bind_are_refused() -> None:
    """A bound ESME cannot bind again; submit_sm needs a bind that transmits."""
    world = World()
    esme = world.esme()
    esme.submit()
    assert [pdu.status for pdu in esme.heard()] == [consts.SMPP_ESME_RINVBNDSTS]
    assert [pdu.status for pdu in esme.bind().bind().heard()] == [0, consts.SMPP_ESME_RALYBND]
    receiver = world.esme().bind("bind_receiver")
    receiver.submit()
    assert receiver.heard()[-1].status == consts.SMPP_ESME_RINVBNDSTS


def test_version_33_gets_no_tlv() -> None:
    """A 3.3 ESME's bind response carries no TLV, a 3.4 one's does."""
    world = World()
    old, new = world.esme(), world.esme()
    frame = bytearray(b"\0\0\0\x1f\0\0\0\x01\0\0\0\0\0\0\0\x01esme\0pw\0\0\x33\0\0\0")
    frame[3] = len(frame)
    old.session.data_received(bytes(frame))
    new.bind()
    assert (old.heard()[0].sc_interface_version, new.heard()[0].sc_interface_version) == (None, 0x34)


def test_silent_connection_is_closed() -> None:
    """Who does not bind in time is cut off, whatever he trickles."""
    world = World(timers=Timers(session_init_s=30))
    esme = world.esme()
    for octet in pdus.encode("bind_transceiver", 1, system_id="a" * 15)[:29]:
        esme.session.data_received(bytes([octet]))
        world.clock.advance(1)
    assert not esme.closed
    world.clock.advance(1)
    assert esme.closed
    assert not esme.wrote


def test_enquire_link_both_ways() -> None:
    """Ours is answered or the connection is dropped; theirs is answered."""
    world = World(timers=Timers(enquire_link_s=30, enquire_timeout_s=10))
    esme = world.esme().bind()
    esme.say("enquire_link", 9)
    assert esme.heard()[-1].sequence == 9
    world.clock.advance(30)
    (enquiry,) = esme.heard("enquire_link")
    esme.say("enquire_link_resp", enquiry.sequence)
    world.clock.advance(39)
    assert not esme.closed
    world.clock.advance(2)
    assert esme.closed
    assert not world.smsc.links()


def test_unbind_both_ways() -> None:
    """Theirs is answered and closed; ours stops deliver_sm and closes with the answer."""
    world = World()
    theirs = world.esme().bind()
    theirs.say("unbind", 5)
    assert theirs.heard()[-1].command == "unbind_resp"
    assert theirs.closed
    ours = world.esme().bind()
    world.smsc.stop()
    (unbind,) = ours.heard("unbind")
    world.smsc.send("8613800000000", "10086", "late")
    assert not ours.heard("deliver_sm")
    ours.say("unbind_resp", unbind.sequence)
    assert ours.closed


def test_octets_one_by_one_are_the_same() -> None:
    """Framing does not depend on how the octets come."""
    world = World()
    esme = world.esme()
    bind = pdus.encode("bind_transceiver", 1, system_id="a", password="b")
    for octet in bind + pdus.encode("enquire_link", 2) + pdus.encode("unbind", 3):
        esme.session.data_received(bytes([octet]))
    heard = [pdu.command for pdu in esme.heard()]
    assert heard == ["bind_transceiver_resp", "enquire_link_resp", "unbind_resp"]


@pytest.mark.parametrize("length", [0, 15, 65_537, 0xFFFF_FFFF])
def test_impossible_length_closes(length: int) -> None:
    """A length that cannot be framed gets a generic_nack and the connection is closed."""
    world = World()
    esme = world.esme().bind()
    esme.heard()
    esme.session.data_received(length.to_bytes(4, "big") + b"\0\0\0\x15")
    (nack,) = esme.heard()
    assert (nack.command, nack.status) == ("generic_nack", consts.SMPP_ESME_RINVCMDLEN)
    assert esme.closed


def test_malformed_and_unknown_are_refused_and_the_link_lives() -> None:
    """An unknown command gets a generic_nack, a damaged submit_sm a submit_sm_resp that is not zero."""
    world = World()
    esme = world.esme().bind()
    esme.heard()
    esme.session.data_received(b"\0\0\0\x10\0\0\x77\x77\0\0\0\0\0\0\0\x07")
    esme.session.data_received(b"\0\0\0\x12\0\0\0\x04\0\0\0\0\0\0\0\x08ab")
    esme.say("enquire_link", 9)
    nack, refusal, alive = esme.heard()
    assert (nack.command, nack.status, nack.sequence) == ("generic_nack", consts.SMPP_ESME_RINVCMDID, 7)
    assert (refusal.command, refusal.sequence) == ("submit_sm_resp", 8)
    assert refusal.status != 0
    assert alive.command == "enquire_link_resp"


def test_impossible_texts_are_refused() -> None:
    """No phone can send from or to such an address, or these characters in that alphabet."""
    world = World()
    for number, service, text, data_coding in (
        ("", "10086", "x", None),
        ("1" * 21, "10086", "x", None),
        ("138\0", "10086", "x", None),
        ("138", "一", "x", None),
        ("138", "10086", "你", 0),
        ("138", "10086", "你" * 20_000, None),
    ):
        with pytest.raises(ValueError, match=r"must be an address|has no character|parts"):
            world.smsc.send(number, service, text, data_coding=data_coding)


def test_next_text_from_within_an_event() -> None:
    """Who sends the next text as soon as one has gone out keeps window and order, and loses none."""
    world = World(window=1)
    esme = world.esme().bind()
    texts = [str(number) for number in range(5)]
    left = texts[1:]

    def observe(event: Event) -> None:
        if event.kind in ("mo_attempted", "mo_acknowledged") and left:
            world.smsc.send("8613800000000", "10086", left.pop(0))

    world.smsc._observe = observe
    world.smsc.send("8613800000000", "10086", texts[0])
    delivered = []
    while deliveries := esme.answer_deliveries():
        assert len(deliveries) == 1
        delivered += [pdu.short_message.decode() for pdu in deliveries]
    assert delivered == texts
    assert world.smsc.pending() == 0
