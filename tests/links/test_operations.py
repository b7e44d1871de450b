"""What a submit_multi is to us."""

from gateway.links.operations import submit_sm_of, unsuccessful
from gateway.smpp import pdu as p
from gateway.smpp.constants import CommandStatus

OURS, ALSO_OURS, STRANGER = (
    p.Address(0, 1, "10086"),
    p.Address(0, 1, "10010"),
    p.Address(1, 1, "8613800000000"),
)


def taken(*destinations: p.Address | str) -> p.SubmitSm | CommandStatus:
    multi = p.SubmitMulti(destinations=destinations, data_coding=8, short_message=b"x")
    return submit_sm_of(multi, lambda digits: digits in ("10086", "10010"))


def test_one_destination_is_a_submit_sm() -> None:
    """Whichever it is, as with submit_sm itself."""
    for destination in (OURS, STRANGER):
        submit_sm = taken(destination)
        assert isinstance(submit_sm, p.SubmitSm)
        assert submit_sm.destination == destination
        assert (submit_sm.data_coding, submit_sm.short_message) == (8, b"x")


def test_of_several_the_one_that_is_ours_is_taken_and_the_others_are_named_as_refused() -> None:
    multi = p.SubmitMulti(destinations=(STRANGER, OURS))
    submit_sm = taken(*multi.destinations)
    assert isinstance(submit_sm, p.SubmitSm)
    assert submit_sm.destination == OURS
    assert unsuccessful(multi, OURS) == (p.Unsuccessful(STRANGER, CommandStatus.ESME_RINVDSTADR),)


def test_what_is_no_submit_sm_to_us_is_refused_by_cause() -> None:
    assert taken(OURS, ALSO_OURS) == CommandStatus.ESME_RINVNUMDESTS
    assert taken(STRANGER, STRANGER) == CommandStatus.ESME_RINVDSTADR
    assert taken(OURS, "friends") == CommandStatus.ESME_RINVDLNAME
