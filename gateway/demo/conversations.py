"""One conversation with each carrier, as a subscriber would have it, through the simulated SMSC.

A conversation is good when every text was answered and the last answer names every place where the author of
the sample let the subscriber stay. Called by `command`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gateway.demo.parts import Parts
from gateway.demo.smsc_api import Message, SmscApi

ANSWER_TIMEOUT_S = 15.0


class Script(NamedTuple):
    """What is texted to a carrier, one text after each answer; {digits}: the last four of the ID number."""

    carrier: str
    title: str
    service: str
    texts: tuple[str, ...]


class Phone(NamedTuple):
    """A subscriber of the sample; `places`: what the last answer must name."""

    msisdn: str
    id_last4: str
    story: str
    places: tuple[str, ...]


SCRIPTS = (
    Script("china-mobile", "China Mobile 中国移动", "10086", ("CXMYD", "{digits}")),
    Script("china-unicom", "China Unicom 中国联通", "10010", ("CXMYD#{digits}",)),
    Script("china-telecom", "China Telecom 中国电信", "10001", ("CXMYD#{digits}", "Y")),
)


def converse(script: Script, phone: Phone, smsc: SmscApi, parts: Parts) -> Iterator[Message]:
    """The texts of the conversation as they come and go. PartError when an answer does not come."""
    for text in script.texts:
        question = smsc.send(phone.msisdn, script.service, text.format(digits=phone.id_last4))
        yield question
        complaint = f"{script.service} has not answered {question.text!r}"

        def answer(question: Message = question) -> Message | None:
            return smsc.answer(question)

        yield parts.until(answer, complaint, timeout_s=ANSWER_TIMEOUT_S)


def missing(phone: Phone, messages: Iterable[Message]) -> list[str]:
    """The places that the last answer should have named and does not."""
    last = [message.text for message in messages][-1:]
    return [place for place in phone.places if not last or place not in last[0]]
