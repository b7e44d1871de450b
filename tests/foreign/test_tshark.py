"""tshark's SMPP dissector and smpp.pdu3 read what the gateway sends."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from smpp.pdu.pdu_encoding import PDUEncoder

from tests.foreign.npm_smsc import NpmSmsc, npm_smsc
from tests.foreign.service import TRIOS, Service, smsc_sections
from tests.foreign.test_npm_smpp import converse

FLUSH_TIMEOUT_S = 15.0
Recorded = list[tuple[int, bool, bytes]]


@pytest.fixture(scope="module")
def recorded(service: Service, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, NpmSmsc]:
    """A capture of all three conversations, and the SMSC that saw them."""
    pcap = tmp_path_factory.mktemp("capture") / "conversation.pcapng"
    with (
        npm_smsc() as smsc,
        _capture(smsc.port, pcap) as captured,
        service.gateway(smsc_sections(smsc.port)),
    ):
        converse(smsc, TRIOS[2])
    if not captured:
        _write_pcap(smsc.octets(), smsc.port, pcap)
    return pcap, smsc


def test_tshark_finds_nothing_malformed(recorded: tuple[Path, NpmSmsc]) -> None:
    """Every PDU of the conversations is dissected; none is malformed, none carries a warning."""
    pcap, smsc = recorded
    commands = _tshark(pcap, smsc.port, "smpp", "smpp.command_id").replace(",", "\n").split()
    for command_id in ("0x00000009", "0x80000005", "0x00000004", "0x00000006"):
        assert command_id in commands  # bind_transceiver, deliver_sm_resp, submit_sm, unbind
    worse_than_a_note = "_ws.malformed || _ws.expert.severity >= 0x600000"
    assert _tshark(pcap, smsc.port, worse_than_a_note, "_ws.expert.message") == ""


def test_smpp_pdu3_decodes_what_we_send(recorded: tuple[Path, NpmSmsc]) -> None:
    """A third implementation reads every PDU of ours."""
    ours = [pdu for _, ours, pdu in _pdus(recorded[1].octets()) if ours]
    names = {PDUEncoder().decode(io.BytesIO(pdu)).id.name for pdu in ours}
    assert {"bind_transceiver", "deliver_sm_resp", "submit_sm", "unbind"} <= names


def _tshark(pcap: Path, port: int, display_filter: str, field: str) -> str:
    command = ["tshark", "-r", str(pcap), "-d", f"tcp.port=={port},smpp", "-Y", display_filter]
    done = subprocess.run(
        [*command, "-T", "fields", "-e", field], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def _capture(port: int, pcap: Path) -> Iterator[bool]:
    """Capture what goes over the loopback, until the links are unbound; False where that is not permitted."""
    if shutil.which("tshark") is None:
        pytest.fail("tshark is not installed: `make test` installs it", pytrace=False)
    command = ["dumpcap", "-q", "-i", "lo", "-f", f"tcp port {port}", "-w", str(pcap)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            started = any(line.startswith("File:") for line in process.stderr)
            yield started
            if started:
                _await_unbinds(pcap, port)
        finally:
            process.terminate()


def _await_unbinds(pcap: Path, port: int) -> None:
    """The kernel hands packets over in blocks, the last one late."""
    deadline = time.monotonic() + FLUSH_TIMEOUT_S
    while len(_tshark(pcap, port, "smpp.command_id == 0x80000006", "frame.number").split()) < 3:
        assert time.monotonic() < deadline


def _write_pcap(octets: Recorded, port: int, pcap: Path) -> None:
    """The same capture from what the SMSC read and wrote: each PDU as a TCP segment."""
    dumps = [f"{'O' if ours else 'I'}\n000000 {pdu.hex(' ')}\n" for _, ours, pdu in _pdus(octets)]
    command = ["text2pcap", "-q", "-D", "-T", f"40000,{port}", "-", str(pcap)]
    subprocess.run(command, input="".join(dumps), text=True, check=True, capture_output=True)


def _pdus(octets: Recorded) -> Recorded:
    """The same, cut where PDUs end (command_length, SMPP 3.4 section 5.1.1)."""
    pending: dict[tuple[int, bool], bytes] = {}
    pdus = []
    for connection, ours, data in octets:
        rest = pending.get((connection, ours), b"") + data
        while len(rest) >= 4 and len(rest) >= (length := int.from_bytes(rest[:4], "big")):
            pdus.append((connection, ours, rest[:length]))
            rest = rest[length:]
        pending[connection, ours] = rest
    assert not any(pending.values())
    return pdus
