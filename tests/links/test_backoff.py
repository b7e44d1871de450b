"""When to bind again."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.links.backoff import FIRST_REFUSED_S, Backoff
from gateway.smpp.constants import CommandStatus

endings = st.tuples(
    st.floats(0, 100), st.none() | st.sampled_from([0x0D, 0x0E, 0x0F, 0x05, 0x58]), st.floats(0, 0.999)
)


@given(st.lists(endings, min_size=1, max_size=50))
def test_never_gives_up_and_never_spins(history: list[tuple[float, int | None, float]]) -> None:
    """Whatever happens, the next bind is at least 50 ms and at most the longest pause away."""
    backoff = Backoff(60.0)
    for ending in history:
        assert 0.05 <= backoff.ended(*ending) <= 60.0


def test_doubles_and_begins_anew_after_a_good_bind() -> None:
    backoff = Backoff(60.0)
    pauses = [backoff.ended(0.0, None, 0.0) for _ in range(4)]
    assert pauses == [0.05, 0.1, 0.2, 0.4]
    assert backoff.ended(3600.0, None, 0.0) == 0.05


def test_a_wrong_password_is_tried_slowly_an_old_bind_quickly() -> None:
    assert Backoff(60.0).ended(0.0, CommandStatus.ESME_RINVPASWD, 0.0) == FIRST_REFUSED_S / 2
    assert Backoff(60.0).ended(0.0, CommandStatus.ESME_RALYBND, 0.0) == 0.05
