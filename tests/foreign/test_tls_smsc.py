"""TLS towards an SMSC: the name that is asked for and verified, our certificate replaced while it is up."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.foreign.service import Service
from tests.foreign.test_tls import Authority
from tests.foreign.wire_smsc import Smsc, made, section

NAME = "smsc.example"
PLAIN = '[carrier.plain]\nnumbers = ["12345"]\n'


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def smscs() -> Iterator[Callable[..., Smsc]]:
    with made() as make:
        yield make


def secured(authority: Authority, certificate: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.file)
    context.load_cert_chain(certificate["cert"], certificate["key"])
    return context


def refused(smsc: Smsc) -> None:
    """That it is tried again and again, and sent nothing."""
    smsc.until(lambda: len(smsc.handshakes) >= 2)
    assert smsc.binds == []


def tls(authority: Authority, more: dict[str, str]) -> str:
    keys = {"ca": authority.file} | more
    return "tls = { " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in keys.items()) + " }"


def test_server_name_is_asked_for_and_verified(
    service: Service, authority: Authority, smscs: Callable[..., Smsc]
) -> None:
    """Of three SMSCs at 127.0.0.1 the first has a certificate for `server_name`, the second one for its
    address only, the third for another name; without server_name no name is asked for, as the host is an
    address.
    """
    asked: dict[str, str | None] = {}
    links: dict[str, tuple[Smsc, str]] = {}

    def link(link_name: str, issued_for: str, server_name: str) -> None:
        context = secured(authority, authority.issue(link_name, issued_for))

        def heard(_: object, name: str | None, __: object) -> None:
            asked[link_name] = name

        context.sni_callback = heard
        more = {"server_name": server_name} if server_name else {}
        links[link_name] = smscs(context=context), tls(authority, more)

    link("right", NAME, NAME)
    link("by-address", "127.0.0.1", NAME)
    link("other-name", "other.example", NAME)
    link("no-name", "127.0.0.1", "")
    sections = "".join(section(name, smsc.port, more) for name, (smsc, more) in links.items())
    with service.gateway(sections + PLAIN, await_ready=False):
        for name in ("right", "no-name"):
            links[name][0].receiver()
        for name in ("by-address", "other-name"):
            refused(links[name][0])
    assert asked == {"right": NAME, "by-address": NAME, "other-name": NAME, "no-name": None}


def test_our_certificate_is_replaced_without_a_restart(
    service: Service, authority: Authority, smscs: Callable[..., Smsc]
) -> None:
    """The next connection shows the new one; a file that cannot be used leaves the old one in use, and links
    that are up stay up.
    """
    ours = authority.issue("us")
    context = secured(authority, authority.issue("smsc"))
    context.verify_mode = ssl.CERT_REQUIRED
    smsc = smscs(context=context)

    def shown() -> str:
        """The serial number of our certificate on a new connection."""
        before = len(smsc.handshakes)
        smsc.cut()
        smsc.until(lambda: len(smsc.handshakes) > before and smsc.wires)
        return smsc.handshakes[-1]

    with service.gateway(section("secure", smsc.port, tls(authority, ours)) + PLAIN):
        assert serial(ours) == smsc.handshakes[0] == shown()
        before = serial(ours)
        authority.issue("us")  # into the same files
        assert shown() == serial(ours) != before
        before = serial(ours)
        Path(ours["cert"]).write_text("-----BEGIN CERTIFICATE-----\nbroken")
        assert shown() == before
        authority.issue("us")
        after = serial(ours)
        Path(ours["key"]).unlink()
        assert shown() == before
        authority.issue("us")
        assert shown() == serial(ours) not in (before, after)
    assert all(smsc.handshakes)


def serial(ours: dict[str, str]) -> str:
    number = x509.load_pem_x509_certificate(Path(ours["cert"]).read_bytes()).serial_number
    digits = f"{number:X}"
    return digits.zfill(len(digits) + len(digits) % 2)
