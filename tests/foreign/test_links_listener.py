"""The listening role against strangers, proxies and peers that flood: one gateway with a port for each."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import free_port
from tests.foreign.service import Service
from tests.foreign.test_tls import Authority
from tests.foreign.wire import (
    BIND_TRANSMITTER,
    DELIVER_SM,
    ENQUIRE_LINK,
    QUERY_SM,
    RESP,
    SUBMIT_MULTI,
    SUBMIT_SM,
    Wire,
    bind,
    message,
    pdu,
)

PORTS = {
    "open": "",
    "closed": 'allow = ["192.0.2.0/24"]',
    "strict": "failed_binds = 2\nfailed_binds_s = 2",
    "small": "connections = 5",
    "proxied": """
        proxy_protocol = ["127.0.0.0/8"]
        allow = ["192.0.2.0/24"]
        failed_binds = 2
        session_init_s = 1
    """,
    "secure": 'proxy_protocol = ["127.0.0.0/8"]\ntls = {{ cert = "{cert}", key = "{key}" }}',
    "impatient": "enquire_link_s = 1\nenquire_timeout_s = 1",
}
SECTION = """
[[listen]]
port = {port}
{more}
clients = [{{ system_id = "{name}", password = "secret", carrier = "plain" }}]
"""
PROXY_V1 = b"PROXY TCP4 %b 10.0.0.1 32768 2776\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\x0a\0\0\x01\x80\0\x0a\xd8"
ENQUIRY = pdu(ENQUIRE_LINK)


class Gateway(NamedTuple):
    ports: dict[str, int]
    pid: int
    authority: Authority
    certificate: dict[str, str]

    def rss_kib(self) -> int:
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])


@pytest.fixture(scope="module")
def gateway(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    authority = Authority(tmp_path_factory.mktemp("tls"), "authority")
    certificate = authority.issue("gateway")
    ports = {name: free_port() for name in PORTS}
    sections = "".join(
        SECTION.format(port=ports[name], more=more.format(**certificate), name=name)
        for name, more in PORTS.items()
    )
    with service.gateway(sections + '[carrier.plain]\nnumbers = ["12345"]\nqueries_per_day = 0\n') as process:
        yield Gateway(ports, process.pid, authority, certificate)


def test_whoever_is_not_allowed_finds_the_port_closed(gateway: Gateway) -> None:
    with Wire.to(gateway.ports["closed"]) as wire:
        assert wire.ended()


def test_an_address_with_failed_binds_is_shut_out_and_let_in_again(gateway: Gateway) -> None:
    port = gateway.ports["strict"]
    with Wire.to(port) as wire:
        assert wire.ask(bind("strict", "wrong")).command_status == 0x0D
        assert wire.ask(bind("nobody")).command_status == 0x0D
        assert wire.ended()
    with Wire.to(port) as wire:
        assert wire.ended()  # the right password is not even read
    time.sleep(2.1)
    with Wire.to(port) as wire:
        assert wire.ask(bind("strict")).command_status == 0


def test_silent_connections_make_room_and_do_not_keep_a_client_out(gateway: Gateway) -> None:
    port = gateway.ports["small"]
    silent = [Wire.to(port) for _ in range(20)]
    with Wire.to(port) as client:
        assert client.ask(bind("small")).command_status == 0
        more = [Wire.to(port) for _ in range(20)]
        assert client.ask(ENQUIRY).command_id == ENQUIRE_LINK | RESP
        assert all(wire.ended() for wire in silent)
        for wire in silent + more:
            wire.socket.close()


def test_a_proxy_tells_who_its_peer_is(gateway: Gateway) -> None:
    """Version 1 and 2, in one octet at a time; `allow` and the failed binds count the real address."""
    port = gateway.ports["proxied"]
    for header in (PROXY_V1 % b"192.0.2.1", PROXY_V2):
        with Wire.to(port) as wire:
            for octet in header + bind("proxied"):
                wire.send(bytes([octet]))
            assert wire.receive().command_status == 0
    with Wire.to(port) as wire:
        wire.send(PROXY_V1 % b"198.51.100.1" + bind("proxied"))
        assert wire.ended()
    for _ in range(2):
        with Wire.to(port) as wire:
            assert wire.ask(PROXY_V1 % b"192.0.2.7" + bind("proxied", "wrong")).command_status == 0x0D
    with Wire.to(port) as wire:
        wire.send(PROXY_V1 % b"192.0.2.7" + bind("proxied"))
        assert wire.ended()
    with Wire.to(port) as wire:
        assert wire.ask(PROXY_V1 % b"192.0.2.8" + bind("proxied")).command_status == 0


@pytest.mark.parametrize(
    "octets", [bind("proxied"), b"PROXY TCP4 nonsense\r\n", b"PROXY " + b"x" * 200, b"PRO"]
)
def test_a_proxy_that_sends_no_header_is_cut_off(gateway: Gateway, octets: bytes) -> None:
    """At once, or at the deadline of the bind when it never ends."""
    with Wire.to(gateway.ports["proxied"]) as wire:
        wire.send(octets)
        assert wire.ended()


def test_a_proxy_header_from_elsewhere_is_no_smpp(gateway: Gateway) -> None:
    with Wire.to(gateway.ports["open"]) as wire:
        wire.send(PROXY_V1 % b"192.0.2.1")
        assert wire.receive().command_id == RESP  # a generic_nack, for a length that cannot be
        assert wire.ended()


def test_the_header_stands_before_tls(gateway: Gateway) -> None:
    with Wire.to(gateway.ports["secure"]) as plain:
        plain.send(PROXY_V2)
        context = ssl.create_default_context(cafile=gateway.authority.file)
        with Wire(context.wrap_socket(plain.socket, server_hostname="127.0.0.1")) as wire:
            assert wire.ask(bind("secure")).command_status == 0


def test_a_certificate_is_replaced_without_a_restart(gateway: Gateway) -> None:
    """Also the other way: what cannot be used is not used."""

    def serial() -> int | str:
        with Wire.to(gateway.ports["secure"]) as plain:
            plain.send(PROXY_V2)
            context = ssl.create_default_context(cafile=gateway.authority.file)
            with context.wrap_socket(plain.socket, server_hostname="127.0.0.1") as secure:
                found = secure.getpeercert()
                assert found is not None
                return str(found["serialNumber"])

    first = serial()
    assert serial() == first
    gateway.authority.issue("gateway")  # into the same files
    second = serial()
    assert second != first
    Path(gateway.certificate["cert"]).write_text("-----BEGIN CERTIFICATE-----\nbroken")
    assert serial() == second
    gateway.authority.issue("gateway")
    assert serial() not in (first, second)


def test_what_is_not_offered_is_refused_by_its_own_response(gateway: Gateway) -> None:
    with Wire.to(gateway.ports["open"]) as wire:
        assert wire.ask(bind("open")).command_status == 0
        answer = wire.ask(pdu(QUERY_SM, b"1\0\0\0\0", number=7))
        assert (answer.command_id, answer.command_status, answer.sequence_number) == (
            QUERY_SM | RESP,
            0x67,
            7,
        )


def test_a_submit_multi_to_our_number_is_answered(gateway: Gateway) -> None:
    """One destination that is none of ours is named as refused; the answer leaves like any other."""
    destinations = b"\x02\x01\x00\x0112345\0\x01\x01\x018613800000000\0"
    body = b"\0\x01\x018613900000001\0" + destinations + bytes(3) + b"\0\0" + bytes(4) + b"\x05CXMYD"
    with Wire.to(gateway.ports["open"]) as wire:
        wire.ask(bind("open"))
        answer = wire.ask(pdu(SUBMIT_MULTI, body, number=2))
        assert (answer.command_id, answer.command_status) == (SUBMIT_MULTI | RESP, 0)
        assert answer.body.partition(b"\0")[2] == b"\x01\x01\x018613800000000\0" + (0x0B).to_bytes(4)
        deliver = wire.receive()
        assert deliver.command_id == DELIVER_SM
        assert b"8613900000001\0" in deliver.body
        wire.send(pdu(DELIVER_SM | RESP, b"\0", number=deliver.sequence_number))


@pytest.mark.parametrize("octets", [ENQUIRY, message(SUBMIT_SM, "106500", "12345", b"CXMYD")])
def test_a_peer_that_floods_and_does_not_read_costs_no_memory(gateway: Gateway, octets: bytes) -> None:
    """It is not read any further, and dropped when it has not answered an enquire_link; others are served."""
    flood = Wire.to(gateway.ports["impatient"], small=True)  # or the system takes megabytes for it
    with flood, Wire.to(gateway.ports["open"]) as other:
        assert flood.ask(bind("impatient", command_id=BIND_TRANSMITTER)).command_status == 0
        assert other.ask(bind("open", command_id=BIND_TRANSMITTER)).command_status == 0
        before_kib = gateway.rss_kib()
        flood.socket.settimeout(0.5)
        written, stopped, deadline_s = 0, 0, time.monotonic() + 60
        try:
            while time.monotonic() < deadline_s:
                try:
                    written += flood.socket.send(octets * 1000)
                except TimeoutError:  # it reads no more
                    stopped += 1
                    assert other.ask(ENQUIRY).command_id == ENQUIRE_LINK | RESP
                assert gateway.rss_kib() - before_kib < 20_000
        except ConnectionError:
            pass
        assert time.monotonic() < deadline_s, f"never dropped, {written} octets written"
        assert stopped
