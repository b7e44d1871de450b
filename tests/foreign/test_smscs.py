"""Foreign SMSCs, each a process that shares no code with ours: the same behaviour with every stack."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.foreign.recorder import Recorder
from tests.foreign.service import CHANGSHA, JIAN, TRIOS, Service
from tests.foreign.stack import SMSCS, TIMEOUT_S, Smsc, smsc
from tests.foreign.test_tls import Authority

ESME_RTHROTTLED = 0x58
TRIO_OF = {"npm-smpp": TRIOS[0], "smpp.twisted3": TRIOS[4]}
LINK = """
[[smsc]]
name = "{name}"
port = {port}
system_id = "{name}"
password = "secret"
carrier = "{carrier}"
reconnect_max_s = 1
{more}
"""
LINKS = (
    ("china-mobile", "china-mobile", ""),
    ("china-unicom", "china-unicom", ""),
    ("china-telecom", "china-telecom", ""),
    ("pair", "plain", 'bind = "transmitter+receiver"'),
    ("two", "plain", "binds = 2"),
    ("watchful", "plain", "enquire_link_s = 1"),
)


BINDS = (
    *((carrier, "transceiver") for carrier in ("china-mobile", "china-unicom", "china-telecom", "watchful")),
    *(("pair", "transmitter"), ("pair", "receiver"), ("two", "transceiver"), ("two", "transceiver")),
)


class Linked(NamedTuple):
    """A stack's SMSC, and the gateway that is bound to it."""

    stack: str
    smsc: Smsc
    gateway: subprocess.Popen[bytes]
    binds: list[tuple[str, str]]


@pytest.fixture(scope="module", params=SMSCS)
def linked(request: pytest.FixtureRequest, service: Service, recorder: Recorder) -> Iterator[Linked]:
    with smsc(request.param) as peer, recorder.relay(peer.port) as port:
        sections = (
            LINK.format(name=name, carrier=carrier, port=port, more=more) for name, carrier, more in LINKS
        )
        with service.gateway("".join(sections)) as gateway:
            bound = [peer.next("bound") for _ in BINDS]
            binds = [(event["system_id"], event["bind"]) for event in bound]
            yield Linked(request.param, peer, gateway, binds)


def test_all_binds_are_made(linked: Linked) -> None:
    """As transceiver, as a pair of connections, as two transceivers of one link."""
    assert sorted(linked.binds) == sorted(BINDS)


def test_a_whole_conversation_for_each_carrier(linked: Linked) -> None:
    """The carrier's dialog, the answer naming both cities, the latest first; all of it acknowledged."""
    mobile, unicom, telecom = TRIO_OF[linked.stack]
    assert JIAN not in linked.smsc.ask("china-mobile", mobile, "cxmyd")
    answers = [linked.smsc.ask("china-mobile", mobile, mobile.id_last4.lower())]
    answers.append(linked.smsc.ask("china-unicom", unicom, f"CXMYD#{unicom.id_last4}"))
    assert JIAN not in linked.smsc.ask("china-telecom", telecom, f"CXMYD#{telecom.id_last4}")
    answers.append(linked.smsc.ask("china-telecom", telecom, "Y"))
    for answer in answers:
        assert 0 < answer.index(JIAN) < answer.index(CHANGSHA)


@pytest.mark.parametrize("link", ["pair", "two"])
def test_the_answer_leaves_by_the_link_of_the_question(service: Service, linked: Linked, link: str) -> None:
    assert JIAN in linked.smsc.ask(link, service.subscriber(), "CXMYD")


def test_a_long_answer_arrives_whole(service: Service, linked: Linked) -> None:
    answer = linked.smsc.ask("pair", service.traveller(), "CXMYD")
    assert len(answer) > 70
    assert 0 < answer.index(CHANGSHA) < answer.index(JIAN) < answer.index("西安")


def test_a_long_question_is_joined(service: Service, linked: Linked) -> None:
    """The last part first, with a 16-bit reference."""
    who = service.subscriber()
    data = "CXMYD".encode("utf-16-be")
    for index, octets in ((2, data[4:]), (1, data[:4])):
        message = {"hex": (bytes((6, 8, 4, 1, 77, 2, index)) + octets).hex(), "esm_class": 0x40}
        linked.smsc.order(
            do="deliver", system_id="two", to=who.service, data_coding=8, **{"from": who.msisdn}, **message
        )
    assert JIAN in linked.smsc.answer("two", who, acknowledgements=2)


def test_links_are_watched_from_both_sides(linked: Linked) -> None:
    """enquire_link of the SMSC is answered; ours, after a second of silence, by the SMSC."""
    linked.smsc.order(do="enquire", system_id="two")
    assert linked.smsc.next("enquired", system_id="two")["status"] == 0
    linked.smsc.next("enquiry", system_id="watchful")
    linked.smsc.next("enquiry", system_id="watchful")


@pytest.mark.parametrize("end", ["unbind", "drop"])
def test_a_link_that_the_smsc_ends_is_bound_again(service: Service, linked: Linked, end: str) -> None:
    linked.smsc.order(do=end, system_id="watchful")
    linked.smsc.next("closed", system_id="watchful")
    linked.smsc.next("bound", system_id="watchful")
    assert JIAN in linked.smsc.ask("watchful", service.subscriber(), "CXMYD")


def test_answers_to_a_throttling_smsc_all_arrive(service: Service, linked: Linked) -> None:
    """What was refused comes again, and nobody gets his answer twice."""
    askers = [service.subscriber() for _ in range(6)]
    linked.smsc.order(do="answer", status=ESME_RTHROTTLED, count=5)
    for who in askers:
        linked.smsc.order(
            do="deliver", system_id="pair", to=who.service, text="CXMYD", **{"from": who.msisdn}
        )
    for _ in range(5):
        linked.smsc.next("refused", system_id="pair")
    for who in askers:
        assert JIAN in linked.smsc.answer("pair", who)


def test_receipts_are_taken_and_matched(service: Service, linked: Linked) -> None:
    """npm's receipts, text and TLVs, tell the operator that each answer arrived."""
    if linked.stack != "npm-smpp":
        return
    linked.smsc.ask("two", service.subscriber(), "CXMYD")
    assert linked.smsc.next("receipt")["status"] == 0
    config = Path(linked.gateway.args[-2])  # type: ignore[index, arg-type]
    deadline = time.monotonic() + TIMEOUT_S
    while True:  # the figures are looked at now and then
        status = json.loads(service.cxmyd(config, "status", "--json"))
        if any(row["delivered"] for row in status["deliveries"] if row["link"] == "two"):
            return
        assert time.monotonic() < deadline, status["deliveries"]


def test_over_tls(service: Service, tmp_path: Path) -> None:
    """Node's TLS with a certificate of an authority that the link names."""
    authority = Authority(tmp_path, "authority")
    certificate = authority.issue("smsc")
    with smsc("npm-smpp", certificate["cert"], certificate["key"]) as peer:
        tls = f'tls = {{ ca = "{authority.file}" }}'
        section = LINK.format(name="secure", carrier="plain", port=peer.port, more=tls)
        with service.gateway(section):
            assert JIAN in peer.ask("secure", service.subscriber(), "CXMYD")
