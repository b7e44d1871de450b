"""Foreign clients bind to our listener, as a carrier's hub would: the same behaviour for every stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import free_port
from tests.foreign.recorder import Recorder
from tests.foreign.service import CHANGSHA, JIAN, TRIOS, Service
from tests.foreign.stack import ESMES, Esme, esme

ESME_RINVBNDSTS, ESME_RBINDFAIL, ESME_RINVCMDID = 0x04, 0x0D, 0x03
LISTEN = """
[[listen]]
port = {port}
failed_binds = 1000
clients = [
    {{ system_id = "hub", password = "secret", carrier = "plain" }},
    {{ system_id = "elsewhere", password = "secret", carrier = "plain", allow = ["10.0.0.0/8"] }},
    {{ system_id = "mobile", password = "secret", carrier = "china-mobile" }},
    {{ system_id = "unicom", password = "secret", carrier = "china-unicom" }},
    {{ system_id = "telecom", password = "secret", carrier = "china-telecom" }},
]
"""
#: ＣＸＭＹＤ in the full-width forms of a Chinese keyboard, and blanks: in UCS2 that needs two parts.
LONG = "\uff23\uff38\uff2d\uff39\uff24" + " " * 70


@pytest.fixture(scope="module")
def port(service: Service, recorder: Recorder) -> Iterator[int]:
    """The listener of a gateway that serves this module."""
    listening = free_port()
    sections = LISTEN.format(port=listening)
    with service.gateway(sections), recorder.relay(listening, gateway_listens=True) as relayed:
        yield relayed


@pytest.fixture(scope="module", params=ESMES)
def clients(request: pytest.FixtureRequest) -> Iterator[Esme]:
    with esme(request.param) as clients:
        yield clients


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["clients"])


def test_a_client_binds_submits_and_receives_the_answer(service: Service, port: int, clients: Esme) -> None:
    """submit_sm is acknowledged with a message_id; the answer comes as deliver_sm on the same bind."""
    assert clients.bind(port, "hub") == 0
    who = service.subscriber()
    response = clients.submit("hub", who, text="CXMYD")
    assert response["status"] == 0
    assert response["message_id"]
    answer = clients.answer("hub", who)
    assert 0 < answer.index(JIAN) < answer.index(CHANGSHA)
    clients.unbind("hub")


def test_a_long_answer_arrives_whole(service: Service, port: int, clients: Esme) -> None:
    clients.bind(port, "hub")
    answer = clients.ask("hub", service.traveller(), text="CXMYD")
    assert len(answer) > 70
    assert 0 < answer.index(CHANGSHA) < answer.index(JIAN) < answer.index("西安")
    clients.unbind("hub")


def test_a_long_text_of_the_client_is_joined(service: Service, port: int, clients: Esme, stack: str) -> None:
    """In parts as the stack itself cuts; those that do not cut send theirs by message_payload or in parts
    that the test cut.
    """
    clients.bind(port, "hub")
    who = service.subscriber()
    if stack == "smpplib":
        clients.order(do="submit", session="hub", text=LONG, **{"from": who.msisdn}, to=who.service)
        parts = 2
    elif stack == "aiosmpplib":
        clients.order(
            do="submit", session="hub", text=LONG, split="udh", **{"from": who.msisdn}, to=who.service
        )
        parts = 1  # its responses are joined as well
    else:
        data, parts = LONG.encode("utf-16-be"), 2
        for index, octets in enumerate((data[:120], data[120:]), 1):
            header = bytes((5, 0, 3, 77, 2, index))
            message = {"hex": (header + octets).hex(), "esm_class": 0x40, "data_coding": 8}
            clients.order(do="submit", session="hub", **message, **{"from": who.msisdn}, to=who.service)
    for _ in range(parts):
        assert clients.next("acknowledged", session="hub")["status"] == 0
    assert JIAN in clients.answer("hub", who)
    clients.unbind("hub")


def test_a_wrong_password_a_stranger_and_an_address_outside_allow_are_refused_alike(
    port: int, clients: Esme
) -> None:
    """ESME_RBINDFAIL tells nobody which it was."""
    for system_id, password in (("hub", "wrong"), ("nobody", "secret"), ("elsewhere", "secret")):
        status = clients.bind(port, system_id, password=password, session=f"{system_id} refused")
        assert status == ESME_RBINDFAIL


def test_a_transmitter_submits_and_a_receiver_gets_the_answer(
    service: Service, port: int, clients: Esme
) -> None:
    """Any receiving bind of the client will do."""
    assert clients.bind(port, "hub", bind="receiver", session="rx") == 0
    assert clients.bind(port, "hub", bind="transmitter", session="tx") == 0
    who = service.subscriber()
    assert clients.submit("tx", who, text="CXMYD")["status"] == 0
    assert JIAN in clients.answer("rx", who)
    clients.unbind("tx")
    clients.unbind("rx")


def test_the_answer_waits_for_a_receiving_bind(service: Service, port: int, clients: Esme) -> None:
    clients.bind(port, "hub", bind="transmitter", session="tx")
    who = service.subscriber()
    assert clients.submit("tx", who, text="CXMYD")["status"] == 0
    clients.unbind("tx")
    clients.bind(port, "hub", bind="receiver", session="rx")
    assert JIAN in clients.answer("rx", who)
    clients.unbind("rx")


def test_a_receipt_that_a_client_asks_for_is_not_sent(service: Service, port: int, clients: Esme) -> None:
    """The text was for us, and we have it: the response said so. The answer is all that comes."""
    clients.bind(port, "hub")
    who = service.subscriber()
    assert JIAN in clients.ask("hub", who, text="CXMYD", registered_delivery=1)
    clients.order(do="enquire", session="hub")
    assert clients.next("enquired", session="hub")["status"] == 0
    clients.unbind("hub")
    told = [event for event in clients.events if event["event"] == "delivered" and event["to"] == who.msisdn]
    assert "".join(event["text"] for event in told).count(JIAN) == 1


def test_each_carriers_dialog(service: Service, port: int) -> None:
    """Three clients at once, each with the dialog of its carrier."""
    mobile, unicom, telecom = TRIOS[3]
    with esme("smpplib") as clients:
        for system_id in ("mobile", "unicom", "telecom"):
            clients.bind(port, system_id)
        assert JIAN not in clients.ask("mobile", mobile, text="CXMYD")
        answers = [clients.ask("mobile", mobile, text=mobile.id_last4)]
        answers.append(clients.ask("unicom", unicom, text=f"CXMYD#{unicom.id_last4}"))
        assert JIAN not in clients.ask("telecom", telecom, text=f"cxmyd {telecom.id_last4}")
        answers.append(clients.ask("telecom", telecom, text="y"))
        for answer in answers:
            assert 0 < answer.index(JIAN) < answer.index(CHANGSHA)
        for system_id in ("mobile", "unicom", "telecom"):
            clients.unbind(system_id)
