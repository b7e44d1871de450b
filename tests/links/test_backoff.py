"""When to bind again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.links.backoff import FIRST_S, Backoff, Cause, cause_of
from gateway.smpp.constants import CommandStatus

endings = st.tuples(st.floats(0, 100), st.sampled_from(Cause), st.floats(0, 0.999))


@given(st.lists(endings, min_size=1, max_size=50))
def test_never_gives_up_and_never_spins(history: list[tuple[float, Cause, float]]) -> None:
    """Whatever happens, the next bind is at least 50 ms and at most the longest pause away."""
    backoff = Backoff(60.0)
    for ending in history:
        assert 0.05 <= backoff.ended(*ending) <= 60.0


def test_doubles_and_begins_anew_after_a_good_bind() -> None:
    backoff = Backoff(60.0)
    pauses = [backoff.ended(0.0, Cause.BROKEN, 0.0) for _ in range(4)]
    assert pauses == [0.05, 0.1, 0.2, 0.4]
    assert backoff.ended(3600.0, Cause.BROKEN, 0.0) == 0.05


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (None, Cause.BROKEN),
        (CommandStatus.ESME_RALYBND, Cause.ALREADY_BOUND),
        (CommandStatus.ESME_RSYSERR, Cause.BUSY),
        (CommandStatus.ESME_RTHROTTLED, Cause.BUSY),
        (CommandStatus.ESME_RINVPASWD, Cause.BARRED),
        (CommandStatus.ESME_RINVSYSID, Cause.BARRED),
        (CommandStatus.ESME_RBINDFAIL, Cause.REFUSED),
        (0x00000400, Cause.REFUSED),  # a vendor's own
        (0xFFFFFFFF, Cause.REFUSED),
    ],
)
def test_every_status_of_a_refused_bind_has_its_pace(status: int | None, cause: Cause) -> None:
    """A broken cable is mended in no time, a wrong password by staff."""
    assert cause_of(status) is cause
    backoff = Backoff(60.0)
    assert backoff.ended(0.0, cause, 0.0) == FIRST_S[cause] / 2
    longest_s = max(backoff.ended(0.0, cause, 0.999) for _ in range(20))
    assert longest_s == pytest.approx(5.0 if cause is Cause.ALREADY_BOUND else 60.0, rel=0.01)


def test_already_bound_while_others_are_bound_is_for_staff() -> None:
    """The SMSC grants fewer binds than are configured."""
    assert cause_of(CommandStatus.ESME_RALYBND, others_bound=True) is Cause.REFUSED


def test_a_broken_cable_does_not_slow_down_what_follows() -> None:
    """An SMSC that was away for an hour and then says that it is starting is asked again in a second."""
    backoff = Backoff(60.0)
    for _ in range(20):
        backoff.ended(0.0, Cause.BROKEN, 0.0)
    assert backoff.ended(0.0, Cause.BUSY, 0.0) == 0.5


def test_two_binds_that_failed_together_do_not_come_again_together() -> None:
    pauses = {Backoff(60.0).ended(0.0, Cause.BROKEN, chance / 10) for chance in range(10)}
    assert len(pauses) == 10
