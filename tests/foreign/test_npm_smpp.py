"""npm `smpp`, an implementation that shares no code with ours, as the SMSC of a real gateway process."""

from __future__ import annotations

import pytest

from tests.foreign.npm_smsc import NpmSmsc, npm_smsc
from tests.foreign.service import CHANGSHA, JIAN, TRIOS, Service, Trio, smsc_sections


def converse(smsc: NpmSmsc, trio: Trio) -> None:
    """A whole conversation with each carrier, the answer naming both cities, the latest first."""
    mobile, unicom, telecom = trio
    prompt = smsc.deliver(mobile, "cxmyd")
    assert JIAN not in prompt
    answers = [smsc.deliver(mobile, mobile.id_last4.lower())]
    answers.append(smsc.deliver(unicom, f"CXMYD#{unicom.id_last4}"))
    consent = smsc.deliver(telecom, f"CXMYD#{telecom.id_last4}")
    assert JIAN not in consent
    answers.append(smsc.deliver(telecom, "Y"))
    for answer in answers:
        assert 0 < answer.index(JIAN) < answer.index(CHANGSHA)


@pytest.mark.parametrize(("bind", "trio"), [("transceiver", TRIOS[0]), ("transmitter+receiver", TRIOS[1])])
def test_a_whole_conversation_for_each_carrier(service: Service, bind: str, trio: Trio) -> None:
    """Bind, the carrier's dialog, the answer in parts, acknowledged; unbind at the end."""
    with npm_smsc() as smsc, service.gateway(smsc_sections(smsc.port, bind)):
        converse(smsc, trio)
    bound = [(event["system_id"], event["bind"]) for event in smsc.events if event["event"] == "bound"]
    assert sorted(bound) == sorted(
        (subscriber.carrier, kind) for subscriber in trio for kind in bind.split("+")
    )
