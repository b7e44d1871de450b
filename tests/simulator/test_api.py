"""The simulator's HTTP API: what it gives, what it refuses, and to whom."""

import http.client
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from tests.simulator.conftest import Running
from tests.simulator.esme import Esme

JSON = {"Content-Type": "application/json"}
TEXT = {"from": "+8613800000000", "to": "10086", "text": "CXMYD"}


class Answer(NamedTuple):
    status: int
    body: Any
    headers: http.client.HTTPMessage


class Browser:
    """Requests to a running simulator."""

    def __init__(self, running: Running) -> None:
        self.running = running
        self.port = running.simulator.http_port

    def ask(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        text = body if isinstance(body, str) else json.dumps(body) if body is not None else None
        connection.request(method, path, text, headers if headers is not None else JSON)
        response = connection.getresponse()
        content = response.read()
        connection.close()
        is_json = response.headers.get_content_type() == "application/json"
        return Answer(response.status, json.loads(content) if is_json else content, response.headers)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        return self.ask("POST", path, body, JSON | headers)


@pytest.fixture
def browser(start: Callable[..., Running]) -> Browser:
    return Browser(start(phones=[{"msisdn": "8613800000000", "carrier": "china-mobile", "id_last4": "1234"}]))


def test_page_and_its_headers(browser: Browser) -> None:
    """The page is served with a policy that runs no script but ours."""
    page = browser.get("/")
    assert page.status == 200
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
    assert "require-trusted-types-for 'script'" in page.headers["Content-Security-Policy"]
    assert browser.get("/page/phone.js").headers.get_content_type() == "text/javascript"
    for path in ("/page/..%2fapi.py", "/page/nothing.js", "/nothing"):
        assert browser.get(path).status == 404


def test_phones(browser: Browser) -> None:
    """The sample's phones and the carriers' numbers."""
    body = browser.get("/api/phones").body
    assert body["phones"][0]["id_last4"] == "1234"
    assert [carrier["number"] for carrier in body["carriers"]] == ["10086", "10010", "10001"]


def test_text_is_sent_and_listed(browser: Browser) -> None:
    """A posted text waits, is delivered, and is listed with its state and its PDUs."""
    answer = browser.post("/api/mo", TEXT)
    assert answer.status == 201
    assert browser.get("/healthz").body == {"links": 0, "pending": 1}
    with Esme(browser.running.simulator.smpp_port):
        browser.running.until(lambda: not browser.running.simulator.smsc.pending())
        assert browser.get("/api/links").body[0]["system_id"] == "cxmyd"
    (message,) = browser.get("/api/messages?number=8613800000000").body
    assert (message["id"], message["state"], message["text"]) == (answer.body["id"], "acknowledged", "CXMYD")
    assert browser.get("/api/messages?number=8613800000000&service=10010").body == []
    assert [m["id"] for m in browser.get("/api/conversations").body] == [message["id"]]
    one, two = browser.get("/api/pdus?number=8613800000000&limit=2").body
    assert (one["command"], one["direction"]) == ("deliver_sm", "out")
    assert (two["command"], two["status"]) == ("deliver_sm_resp", "ESME_ROK")
    assert b"CXMYD" in bytes.fromhex(one["hex"])
    assert ["short_message", "CXMYD"] in one["fields"]


def test_options_of_a_text(browser: Browser) -> None:
    """data_coding and the source's TON and NPI go out as ordered."""
    options = {"data_coding": 8, "source_ton": 2, "source_npi": 8}
    assert browser.post("/api/mo", TEXT | options).status == 201
    with Esme(browser.running.simulator.smpp_port) as esme:
        browser.running.until(lambda: esme.deliveries)
    (pdu,) = esme.deliveries
    assert (pdu.source_addr_ton, pdu.source_addr_npi, pdu.data_coding) == (2, 8, 8)
    assert pdu.short_message == "CXMYD".encode("utf-16-be")


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/api/mo", "{", "not JSON"),
        ("/api/mo", [], "must be a JSON object"),
        ("/api/mo", {"from": "138", "to": "10086"}, "text must be a string"),
        ("/api/mo", TEXT | {"from": "x" * 21}, "from must be an address"),
        ("/api/mo", TEXT | {"data_coding": 5}, "data_coding must be 0, 1, 3 or 8"),
        ("/api/mo", TEXT | {"source_ton": True}, "source_ton must be 0 to 255"),
        ("/api/mo", TEXT | {"data_coding": 1, "text": "你"}, "has no character"),
        ("/api/faults", {"nonsense": {}}, "unknown fault"),
    ],
)
def test_bad_requests_say_why(browser: Browser, path: str, body: object, why: str) -> None:
    """A request that cannot be carried out is a 400 with one line."""
    answer = browser.post(path, body)
    assert answer.status == 400
    assert why in answer.body["error"]
    assert browser.get("/api/messages").status == 400
    assert browser.get("/api/pdus?limit=0").status == 400


def test_other_sites_are_refused(browser: Browser) -> None:
    """A rebound name, a foreign origin and a form's content type get nothing done."""
    host = f"127.0.0.1:{browser.port}"
    assert browser.get("/api/phones", Host="evil.example").status == 403
    assert browser.get("/api/phones", Host=f"localhost:{browser.port}").status == 200
    assert browser.post("/api/mo", TEXT, Origin="http://evil.example").status == 403
    assert browser.post("/api/mo", TEXT, Origin="null").status == 403
    assert browser.post("/api/mo", TEXT, Origin=f"http://{host}").status == 201
    assert browser.ask("POST", "/api/mo", TEXT, {"Content-Type": "text/plain"}).status == 403
    assert len(browser.get("/api/messages?number=8613800000000").body) == 1


def test_faults_are_ordered_and_shown(browser: Browser) -> None:
    """Orders are in force until used up or cleared."""
    order = {"refuse_submit": {"count": 3, "status": "ESME_RTHROTTLED"}}
    in_force = {"refuse_submit": {"count": 3, "status": 0x58}}
    assert browser.post("/api/faults", order).body == in_force
    assert browser.get("/api/faults").body == in_force
    assert browser.post("/api/faults", {"clear": True}).body == {}


def test_events(browser: Browser) -> None:
    """A listener hears of texts and, unless he asks not to, of PDUs."""
    connection = http.client.HTTPConnection("127.0.0.1", browser.port, timeout=30)
    connection.request("GET", "/api/events?pdus=0")
    stream = connection.getresponse()
    assert stream.headers.get_content_type() == "text/event-stream"
    assert stream.readline() == b"retry: 1000\n"
    with Esme(browser.running.simulator.smpp_port):
        browser.post("/api/mo", TEXT | {"text": "a\n\ndata: b"})
        heard: dict[str, Any] = {}
        while "mo_acknowledged" not in heard:
            line = stream.readline().decode()
            if line.startswith("event: "):
                heard[line[7:].strip()] = json.loads(stream.readline().decode().removeprefix("data: "))
    connection.close()
    assert list(heard) == ["link_up", "mo_sent", "mo_attempted", "mo_acknowledged"]
    assert heard["mo_sent"]["text"] == "a\n\ndata: b"
    assert heard["mo_acknowledged"]["state"] == "acknowledged"
