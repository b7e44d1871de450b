"""An SMSC that calls us: it says outbind, and we bind back, if it is one that may know our password."""

from __future__ import annotations

import socket
from contextlib import suppress

from tests.conftest import free_port
from tests.foreign.service import JIAN, TRIOS, Service
from tests.simulator.conftest import Running

UNICOM = TRIOS[2].unicom
SECTION = """
[[smsc]]
name = "caller"
host = "127.0.0.1"
port = {port}
system_id = "cxmyd"
password = "secret"
bind = "outbind"
carrier = "china-unicom"
{more}
"""
OUTBIND = bytes.fromhex("0000001a 0000000b 00000000 00000001") + b"smsc\0word\0"


def test_we_bind_back_and_answer(service: Service) -> None:
    port = free_port()
    smsc = Running(outbind=[("127.0.0.1", port, "smsc", "word")])
    try:
        with service.gateway(SECTION.format(port=port, more="")):
            answer = smsc.run(
                smsc.simulator.ask(UNICOM.msisdn, UNICOM.service, f"CXMYD#{UNICOM.id_last4}", timeout_s=60)
            )
            assert JIAN in answer.text
    finally:
        smsc.stop()


def test_a_stranger_is_not_told_our_password(service: Service) -> None:
    """From outside `allow` an outbind ends the connection without a word."""
    port = free_port()
    sections = SECTION.format(port=port, more='allow = ["10.0.0.0/8"]')
    with service.gateway(sections, await_ready=False), socket.socket() as stranger:
        stranger.settimeout(10)
        while stranger.connect_ex(("127.0.0.1", port)):
            pass
        told = b""
        with suppress(ConnectionError):  # closed without a look at what we say
            stranger.sendall(OUTBIND)
            told = stranger.recv(100)
        assert told == b""
