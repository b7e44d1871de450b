"""The simulator on real sockets, with smpplib's client as the ESME, and `cxmyd smsc`."""

import contextlib
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from smpplib import consts

from gateway.simulator import alphabets, pdus
from gateway.simulator.command import smsc
from gateway.simulator.server import ListenError, Simulator
from gateway.simulator.smsc import Rules
from tests.simulator.conftest import Running
from tests.simulator.esme import Esme

Start = Callable[..., Running]
ANSWER = (
    "您11月9日至11月22日到访过（停留满4小时，最近的在前）：北京市、上海市、苏州市、杭州市、宁波市、日本。"
    "仅供参考，不排除边界漫游误列邻市。【中国移动】"
)


def answer(esme: Esme, pdu: Any) -> int:
    """An application's handler: two UCS2 parts to whoever asks."""
    for part in alphabets.parts_of(ANSWER, 7):
        esme.submit(pdu.source_addr.decode(), pdu.destination_addr.decode(), part.short_message,
                    esm_class=part.esm_class, data_coding=part.data_coding)  # fmt: skip
    return 0


def test_question_and_answer(start: Start) -> None:
    """smpplib's own client gets the text and its two parts come back as one text."""
    running = start()
    with Esme(running.simulator.smpp_port, answer):
        message = running.run(running.simulator.ask("8613800000000", "10086", "CXMYD"))
    assert (message.text, message.parts) == (ANSWER, 2)
    assert message.answer_ms is not None


def test_transmitter_and_receiver(start: Start) -> None:
    """Texts come on the receiver, answers go out on the transmitter."""
    running = start()
    with Esme(running.simulator.smpp_port, bind="transmitter") as transmitter:
        with Esme(running.simulator.smpp_port, lambda _, pdu: answer(transmitter, pdu), bind="receiver"):
            message = running.run(running.simulator.ask("8613800000000", "10086", "CXMYD"))
        assert message.text == ANSWER
        assert not transmitter.deliveries


def test_redelivery_after_refusal_and_after_a_drop(start: Start) -> None:
    """A refused text comes again after the delay; one that was not answered when the link fell, after the
    re-bind.
    """
    running = start(rules=Rules(retry_s=0.05))
    statuses = iter([consts.SMPP_ESME_RX_T_APPN, consts.SMPP_ESME_ROK])
    smsc_ = running.simulator.smsc
    with Esme(running.simulator.smpp_port, lambda *_: next(statuses)) as esme:
        message = running.call(smsc_.send, "8613800000000", "10086", "CXMYD")
        running.until(lambda: message.state == "acknowledged")
        assert len(esme.deliveries) == message.attempts == 2

    def leave(esme: Esme, pdu: Any) -> int:
        raise OSError("gone")

    with Esme(running.simulator.smpp_port, leave) as esme:
        message = running.call(smsc_.send, "8613800000000", "10086", "CXMYD")
        running.until(lambda: esme.deliveries)
    running.until(lambda: not smsc_.sessions)
    with Esme(running.simulator.smpp_port):
        running.until(lambda: message.state == "acknowledged")
    assert message.attempts == 2


def test_drop_resets_the_connection(start: Start) -> None:
    """An ordered drop is a reset, not a farewell."""
    running = start()
    with Esme(running.simulator.smpp_port) as esme:
        running.call(running.simulator.smsc.order, {"drop": True})
        esme._thread.join(5)
        assert not esme._thread.is_alive()
    running.until(lambda: not running.simulator.smsc.sessions)


def test_outbind(start: Start) -> None:
    """The simulator connects to an ESME that listens, says outbind, and takes the bind on that connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host, port = listener.getsockname()
        running = start(outbind=[(host, port, "smsc", "secret")])
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as wire:
            outbind = wire.read(4)
            outbind += wire.read(struct.unpack(">L", outbind)[0] - 4)
            assert pdus.command_name(outbind) == "outbind"
            wire.write(pdus.encode("bind_transceiver", 1, system_id="esme", password="secret"))
            wire.flush()
            running.until(running.simulator.smsc.links)


def test_taken_ports_name_their_option() -> None:
    """A port that is taken is one clear line that names the option, and nothing is left listening."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        for arguments, option in (
            (["--smpp", where], "--smpp"),
            (["--smpp", "127.0.0.1:0", "--http", where], "--http"),
        ):
            result = CliRunner().invoke(smsc, arguments)
            assert result.exit_code == 1
            assert (
                f"cannot listen on {where}: the port is taken; choose another with {option}" in result.output
            )


@pytest.mark.parametrize(
    ("arguments", "complaint", "exit_code"),
    [
        (["--smpp", "2775"], "--smpp 2775: must be HOST:PORT", 2),
        (["--http", "localhost:99999"], "--http localhost:99999", 2),
        (["--phones", "nowhere.json"], "--phones nowhere.json: No such file", 1),
        (["--route", "10086"], "must be NUMBER=NAME", 2),
    ],
)
def test_wrong_options(arguments: list[str], complaint: str, exit_code: int) -> None:
    """Each mistake is named with its option."""
    result = CliRunner().invoke(smsc, arguments)
    assert (result.exit_code, complaint in result.output) == (exit_code, True)


def test_phones_file_is_checked(tmp_path: Path) -> None:
    """What is not a list of phones is refused when starting."""
    for content in ("{", "3", '[{"number": "1"}]'):
        (tmp_path / "phones.json").write_text(content)
        result = CliRunner().invoke(smsc, ["--phones", str(tmp_path / "phones.json")])
        assert result.exit_code == 1
        assert "phones.json: " in result.output


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_command_ends_with_its_signal(signum: int) -> None:
    """`cxmyd smsc` says where it is, unbinds at the signal and ends with 0."""
    program = (
        "from gateway.simulator.command import smsc; smsc(['--smpp', '127.0.0.1:0', '--http', '127.0.0.1:0'])"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        line = process.stdout.readline()
        port = int(line.split()[3].rstrip(","))
        with contextlib.ExitStack() as stack:
            stack.enter_context(Esme(port))
            process.send_signal(signum)
            assert process.wait(60) == 0
    assert "phone page at http://127.0.0.1:" in line


def test_http_can_be_left_out(start: Start) -> None:
    """Without HTTP only SMPP listens."""
    assert start(http=None).simulator.http_port == 0


def test_listen_error_is_raised_by_start(start: Start) -> None:
    """The class says so too, for the demo."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        running = start()
        with pytest.raises(ListenError, match="--smpp"):
            running.run(Simulator(f"127.0.0.1:{taken.getsockname()[1]}", None).start())
