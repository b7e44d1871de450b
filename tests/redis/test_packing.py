"""Commands as templates are what the client library would have packed."""

import hiredis
from hypothesis import given
from hypothesis import strategies as st

from gateway.redis.packing import Hole, template

OCTETS = st.binary(max_size=40)


@given(
    st.lists(
        st.one_of(OCTETS.map(lambda fixed: (None, fixed)), st.tuples(OCTETS, OCTETS)), min_size=1, max_size=8
    )
)
def test_a_filled_template_is_the_packed_command(arguments: list[tuple[bytes | None, bytes]]) -> None:
    """Fixed arguments, holes and holes with a prefix, whatever octets are in them."""
    made = template(*(value if prefix is None else Hole(prefix) for prefix, value in arguments))
    filled: list[int | bytes] = []
    for prefix, value in arguments:
        if prefix is not None:
            filled += [len(prefix) + len(value), value]
    packed = hiredis.pack_command(tuple((prefix or b"") + value for prefix, value in arguments))  # type: ignore[arg-type]  # the stub lacks an ellipsis
    assert made % tuple(filled) == packed
