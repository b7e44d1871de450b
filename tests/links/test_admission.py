"""Who may connect to a listener: failed binds, and what a proxy says of its peer."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.links import proxy
from gateway.links.admission import MAX_SOURCES, FailedBinds
from gateway.links.proxy import LONGEST, Header


def test_an_address_that_fails_to_bind_is_shut_out_for_a_while() -> None:
    failed = FailedBinds(3, 60.0)
    assert [failed.failed("192.0.2.1", n) for n in range(3)] == [False, False, True]
    assert failed.shut_out("192.0.2.1", 61.9)
    assert not failed.shut_out("192.0.2.1", 62.1)
    assert not failed.shut_out("192.0.2.2", 3.0)
    assert not failed.failed("192.0.2.1", 63.0)  # it begins anew


def test_failures_far_apart_are_forgiven() -> None:
    failed = FailedBinds(3, 60.0)
    assert not any(failed.failed("192.0.2.1", 61.0 * n) for n in range(100))


def test_without_limit_nobody_is_shut_out() -> None:
    failed = FailedBinds(0, 60.0)
    assert not any(failed.failed("192.0.2.1", 0.0) for _ in range(100))
    assert not failed.shut_out("192.0.2.1", 0.0)


def test_an_ipv6_network_is_one_source_and_a_mapped_address_is_its_own() -> None:
    failed = FailedBinds(2, 60.0)
    failed.failed("2001:db8::1", 0.0)
    assert failed.failed("2001:db8::ffff", 0.0)
    assert failed.shut_out("2001:db8::2", 0.0)
    assert not failed.shut_out("2001:db8:0:1::1", 0.0)
    failed.failed("::ffff:192.0.2.1", 0.0)
    assert failed.failed("192.0.2.1", 0.0)


def test_what_strangers_make_us_remember_is_bounded() -> None:
    failed = FailedBinds(2, 60.0)
    for n in range(MAX_SOURCES + 10):
        failed.failed(str(ipaddress.IPv4Address(n)), 0.0)
    assert len(failed._sources) == MAX_SOURCES


def v2(command: int, family: int, addresses: bytes, tlvs: bytes = b"") -> bytes:
    length = (len(addresses) + len(tlvs)).to_bytes(2)
    return b"\r\n\r\n\0\r\nQUIT\n" + bytes([command, family]) + length + addresses + tlvs


TCP4 = bytes([192, 0, 2, 1, 10, 0, 0, 1, 0x80, 0, 0x0A, 0xD8])
TCP6 = ipaddress.IPv6Address("2001:db8::1").packed * 2 + b"\x80\0\x0a\xd8"
HEADERS = [
    (b"PROXY TCP4 192.0.2.1 10.0.0.1 32768 2776\r\n", "192.0.2.1"),
    (b"PROXY TCP6 2001:db8::1 2001:db8::2 32768 2776\r\n", "2001:db8::1"),
    (b"PROXY UNKNOWN\r\n", ""),
    (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", ""),
    (v2(0x21, 0x11, TCP4), "192.0.2.1"),
    (v2(0x21, 0x21, TCP6), "2001:db8::1"),
    (v2(0x21, 0x11, TCP4, b"\x04\0\x02xy"), "192.0.2.1"),  # a TLV that we do not read
    (v2(0x20, 0x00, b""), ""),  # LOCAL: the proxy's own health check
    (v2(0x21, 0x00, b""), ""),
    (v2(0x21, 0x31, bytes(216)), ""),  # a Unix socket
]


@pytest.mark.parametrize(("header", "source"), HEADERS)
def test_both_versions_are_read_in_any_segments(header: bytes, source: str) -> None:
    """What follows the header is left alone."""
    for length in range(len(header)):
        assert proxy.read(header[:length]) is None
    assert proxy.read(header + b"\0\0\0\x10") == Header(source, len(header))


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\0\0\0\x10",
        b"PROXY TCP4 192.0.2.256 10.0.0.1 1 2\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 1 65536\r\n",
        b"PROXY TCP4 192.0.2.1 10.0.0.1 1\r\n",
        b"PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
        b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
        b"PROXY \r\n",
        b"PROXY " + b"x" * 120,
        v2(0x31, 0x11, TCP4),
        v2(0x22, 0x11, TCP4),
        v2(0x21, 0x12, TCP4),  # UDP
        v2(0x21, 0x13, TCP4),
        v2(0x21, 0x11, TCP4[:-1]),
        v2(0x21, 0x11, TCP4, bytes(3000)),
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the message is for nobody
        proxy.read(data)


@given(
    st.binary(max_size=300)
    | st.sampled_from([h for h, _ in HEADERS]).flatmap(
        lambda h: st.tuples(st.integers(0, len(h) - 1), st.integers(0, 255)).map(
            lambda at: h[: at[0]] + bytes([at[1]]) + h[at[0] + 1 :]
        )
    )
)
def test_any_octets_are_a_header_or_refused(data: bytes) -> None:
    """Nothing else escapes, and no header is longer than its limit."""
    try:
        header = proxy.read(data)
    except ValueError:
        return
    assert header is None or header.length <= LONGEST
