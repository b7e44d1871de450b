"""The simulated SMSC's HTTP API as the demo uses it: a text out, an answer in. Called by `conversations`."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any, NamedTuple
from urllib.parse import urlencode

_TIMEOUT_S = 10.0
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({})).open  # no proxy leads to this machine


class Message(NamedTuple):
    """A text as the SMSC has it: `direction` mo (from the phone) or mt; `answer_ms` since its question."""

    id: str
    direction: str
    number: str
    service: str
    text: str
    parts: int
    answer_ms: float | None
    answered_by: str | None


class SmscApi:
    """`url` is where the phone page is."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def ready(self) -> bool | None:
        """True once the API answers, None before."""
        return self._get("/healthz") is not None or None

    def send(self, number: str, service: str, text: str) -> Message:
        """The phone sends a text; gives it as the SMSC keeps it."""
        body = json.dumps({"from": number, "to": service, "text": text}).encode()
        request = urllib.request.Request(  # noqa: S310 - our own http URL
            f"{self._url}/api/mo", body, {"Content-Type": "application/json"}
        )
        with _direct(request, timeout=_TIMEOUT_S) as response:
            sent = json.load(response)["id"]
        return self._message(number, service, sent)

    def answer(self, question: Message) -> Message | None:
        """What has come back to the phone; None so far."""
        question = self._message(question.number, question.service, question.id)
        if question.answered_by is None:
            return None
        return self._message(question.number, question.service, question.answered_by)

    def _message(self, number: str, service: str, message_id: str) -> Message:
        listed = self._get(f"/api/messages?{urlencode({'number': number, 'service': service})}") or []
        found = next(message for message in listed if message["id"] == message_id)
        return Message(**{name: found[name] for name in Message._fields})

    def _get(self, path: str) -> Any:
        """The JSON at a path, None while nobody listens there."""
        try:
            with _direct(self._url + path, timeout=_TIMEOUT_S) as response:
                return json.load(response)
        except urllib.error.URLError as error:
            if isinstance(error, urllib.error.HTTPError):
                raise
            return None


def is_ready(readyz_url: str) -> bool | None:
    """True once a gateway's /readyz says 200, None before."""
    try:
        with _direct(readyz_url, timeout=_TIMEOUT_S) as response:
            return response.status == 200 or None
    except OSError:
        return None
