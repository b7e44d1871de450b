"""The real gateway against simulated SMSCs that each mean something else by data_coding 0 and want long
answers told in another way: every question is read, every answer is shown whole by the phone.
"""

import asyncio
from pathlib import Path

import pytest

from gateway.simulator.server import Simulator
from gateway.simulator.smsc import Rules
from tests.conftest import free_port
from tests.foreign.service import CHANGSHA, JIAN, Service

#: default_alphabet, long_messages, SMPP version, and whether the answer then has several submit_sm.
STYLES = (
    ("gsm", "udh-8", "3.4", True),
    ("gsm-packed", "udh-16", "3.4", True),
    ("ucs2", "sar", "3.4", True),
    ("utf-8", "payload", "3.4", False),
    ("gbk", "sar", "3.3", True),  # without TLVs: falls back to udh-8
)
_VERSIONS = {"3.3": 0x33, "3.4": 0x34}


def _section(number: int, port: int, style: tuple[str, str, str, bool]) -> str:
    alphabet, method, version, _ = style
    bind = "transmitter+receiver" if version == "3.3" else "transceiver"
    return (
        f'[[smsc]]\nname = "smsc-{number}"\nport = {port}\nsystem_id = "cxmyd"\npassword = "secret"\n'
        f'carrier = "plain"\ndefault_alphabet = "{alphabet}"\nlong_messages = "{method}"\n'
        f'version = "{version}"\nbind = "{bind}"\n'
    )


@pytest.mark.timeout(90)
def test_every_alphabet_and_method(service: Service, tmp_path: Path) -> None:
    """Five links of one gateway, each in its own style."""

    async def converse(simulator: Simulator, style: tuple[str, str, str, bool]) -> None:
        who = service.traveller()
        smsc = simulator.smsc
        async with asyncio.timeout(30):
            while not smsc.links():
                await asyncio.sleep(0.05)
            smsc.send(who.msisdn, who.service, "CXMYD")
            while len(smsc.history.of(who.msisdn)) < 2:
                await asyncio.sleep(0.05)
        _, answer = smsc.history.of(who.msisdn)
        assert CHANGSHA in answer.text, (style, answer)
        assert JIAN in answer.text, (style, answer)
        assert "\ufffd" not in answer.text
        assert (answer.parts > 1) is style[-1], (style, answer)

    async def main() -> None:
        ports = [free_port() for _ in STYLES]
        simulators = [
            Simulator(
                f"127.0.0.1:{port}",
                "127.0.0.1:0",
                phones=None,
                outbind=[],
                rules=Rules(alphabet=style[0], version=_VERSIONS[style[2]]),
            )
            for port, style in zip(ports, STYLES, strict=True)
        ]
        for simulator in simulators:
            await simulator.start()
        sections = "".join(map(_section, range(len(STYLES)), ports, STYLES))
        loop = asyncio.get_running_loop()
        gateway = service.gateway(sections)
        await loop.run_in_executor(None, gateway.__enter__)
        try:
            await asyncio.gather(*map(converse, simulators, STYLES))
        finally:
            await loop.run_in_executor(None, gateway.__exit__, None, None, None)
            for simulator in simulators:
                await simulator.stop()

    asyncio.run(main())
