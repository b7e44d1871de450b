"""The phone page in headless Chromium, with a scripted ESME that answers.

Screenshots are left in pytest's folder for temporary files, to be looked at.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, expect

from gateway.simulator import alphabets
from gateway.simulator.smsc import Rules
from tests.chromium import chromium  # noqa: F401 - a fixture
from tests.simulator.conftest import Running
from tests.simulator.esme import Esme

NUMBER = "8613800000001"
TALK = f"#/{NUMBER}/10086"
PHONES = [
    {
        "msisdn": NUMBER,
        "carrier": "china-mobile",
        "id_last4": "123X",
        "story": "A commuter <i>of</i> Beijing",
    },
    {"msisdn": "8613000000002", "carrier": "china-unicom", "id_last4": "4417", "expected": ["深圳市"]},
]
PROMPT = "请在10分钟内回复登记证件号码的后四位。【中国移动】"
LONG = (
    "您11月9日至11月22日到访过（停留满4小时，最近的在前）："
    + "、".join(["北京市", "上海市", "苏州市"] * 4)
    + "。【中国移动】"
)
HTML = "<img src=x onerror=\"document.title='owned'\"><b>bold</b> & <script>document.title='owned'</script>"


def answer(esme: Esme, pdu: Any) -> int:
    """CXMYD is answered by a prompt, digits by two parts, HTML by HTML, silence by nothing."""
    text = alphabets.decode(pdu.short_message, pdu.data_coding)
    reply = {"CXMYD": PROMPT, "silence": None, "html": HTML}.get(text, LONG)
    for part in alphabets.parts_of(reply, len(esme.deliveries)) if reply else ():
        esme.submit(pdu.source_addr.decode(), pdu.destination_addr.decode(), part.short_message,
                    esm_class=part.esm_class, data_coding=part.data_coding)  # fmt: skip
    return 0


@pytest.fixture
def running(start: Callable[..., Running]) -> Iterator[Running]:
    simulator = start(phones=PHONES, rules=Rules(retry_s=0.05))
    with Esme(simulator.simulator.smpp_port, answer):
        yield simulator


@pytest.fixture
def open_page(chromium: Browser, running: Running) -> Iterator[Callable[..., Page]]:  # noqa: F811
    """Opens the page at a size; an error in its scripts fails the test."""
    pages: list[Page] = []
    errors: list[Error] = []

    def begin(width: int = 1440, height: int = 900, path: str = "", **options: Any) -> Page:
        page = chromium.new_page(
            viewport={"width": width, "height": height}, reduced_motion="reduce", **options
        )
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: errors.append(error))  # noqa: PLW0108 # playwright marks what it is given
        page.goto(running.simulator.url + path)
        expect(page.locator("#link")).to_have_text("1 bind")
        pages.append(page)
        return page

    yield begin
    for page in pages:
        page.close()
    assert not errors


def bubbles(page: Page, direction: str) -> Any:
    return page.locator(f".message.{direction} .bubble")


def test_conversation(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """The first phone is there with its story; quick texts are sent; answers come live, joined, with their
    time.
    """
    page = open_page()
    expect(page.locator("#card")).to_contain_text("A commuter <i>of</i> Beijing")
    page.get_by_role("button", name="CXMYD", exact=True).click()
    expect(bubbles(page, "mt")).to_have_text([PROMPT])
    page.get_by_role("button", name="123X", exact=True).click()
    expect(bubbles(page, "mt")).to_have_text([PROMPT, LONG])
    expect(page.locator(".message.mt .meta").last).to_have_text(
        re.compile(r"^\d\d:\d\d:\d\d2 parts[\d.]+ ms$")
    )
    expect(page.get_by_role("img", name=re.compile("delivered in"))).to_have_count(2)
    expect(page.locator(".typing")).to_have_count(0)
    page.screenshot(path=tmp_path / "conversation.png")


def test_typed_text_waits_for_its_answer(open_page: Callable[..., Page]) -> None:
    """Enter sends; while nothing comes back the page shows that it waits."""
    page = open_page(path=TALK)
    page.get_by_label("Text message").fill("silence")
    page.keyboard.press("Enter")
    expect(bubbles(page, "mo")).to_have_text(["silence"])
    expect(page.locator(".typing")).to_be_visible()
    expect(page.get_by_label("Text message")).to_have_value("")


def test_html_in_a_text_is_inert(open_page: Callable[..., Page]) -> None:
    """Markup in texts, of either direction, is shown as it was written and makes no element."""
    page = open_page(path=TALK)
    page.get_by_label("Text message").fill(HTML)
    page.get_by_label("Send").click()
    expect(bubbles(page, "mo")).to_have_text([HTML])
    page.get_by_label("Text message").fill("html")
    page.keyboard.press("Enter")
    expect(bubbles(page, "mt").last).to_have_text(HTML)
    expect(page.locator(".preview *, .bubble *")).to_have_count(0)
    assert page.title() == "CXMYD · phone"


def test_pdus_on_demand(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """The inspector lists the conversation's PDUs in both directions; one opened shows fields and octets."""
    page = open_page(path=TALK)
    page.get_by_role("button", name="CXMYD", exact=True).click()
    names = page.locator("#pdus .command")
    expect(names).to_have_text(["deliver_sm", "submit_sm", "submit_sm_resp", "deliver_sm_resp"])
    page.locator("#pdus summary").first.click()
    opened = page.locator("#pdus details[open]")
    expect(opened.locator(".hex")).to_contain_text("43 58 4d 59 44")
    expect(opened).to_contain_text("short_messageCXMYD")
    page.screenshot(path=tmp_path / "pdus.png")
    page.get_by_role("button", name="Everything").click()
    expect(names.first).to_have_text("bind_transceiver")
    page.locator("#pdus summary").first.click()
    expect(page.locator("#pdus details[open]")).to_contain_text("password******")
    page.get_by_label("Show PDUs").click()
    expect(page.get_by_label("Inspector", exact=True)).to_be_hidden()


def test_narrow_screen(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """On a phone's screen: list, conversation, PDUs, one at a time, and the way back."""
    page = open_page(390, 780, is_mobile=True, has_touch=True)
    expect(page.get_by_label("Text message")).to_be_hidden()
    page.screenshot(path=tmp_path / "narrow-list.png")
    page.locator(".person").first.tap()
    page.get_by_role("button", name="123X", exact=True).tap()
    expect(bubbles(page, "mt")).to_have_text([LONG])
    expect(page.get_by_label("Phones", exact=True)).to_be_hidden()
    page.screenshot(path=tmp_path / "narrow-conversation.png")
    page.get_by_label("Show PDUs").tap()
    expect(page.locator("#pdus .command").first).to_have_text("deliver_sm")
    expect(page.get_by_label("Text message")).to_be_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.screenshot(path=tmp_path / "narrow-pdus.png")
    page.get_by_label("Back to the conversation").tap()
    page.get_by_label("All phones").tap()
    expect(page.locator(".person").first).to_contain_text("北京市")


def test_any_number_and_carrier(open_page: Callable[..., Page]) -> None:
    """A number of one's own with a carrier of one's choice; its chips are those of the carrier's dialog."""
    page = open_page()
    page.get_by_label("Phone number").fill("+86 139-1234-5678")
    page.get_by_label("Carrier").select_option(label="China Telecom 10001")
    page.get_by_label("Open conversation").click()
    expect(page.locator("#card")).to_contain_text("not in the sample")
    expect(page.locator("#talk-carrier")).to_have_text("China Telecom · +86 139 1234 5678")
    expect(page.locator(".chip")).to_have_text(["CXMYD#1234", "Y", "CXMYD"])


def test_refusals_and_other_conversations_are_marked(
    open_page: Callable[..., Page], running: Running
) -> None:
    """A text that had to be sent again says so; an answer to another phone marks it in the list."""
    page = open_page(path=TALK)
    running.call(running.simulator.smsc.order, {"duplicate_deliver": {}})
    page.get_by_role("button", name="CXMYD", exact=True).click()
    expect(page.locator(".message.mo .meta")).to_contain_text("attempt 2")
    running.call(running.simulator.smsc.send, "8613000000002", "10010", "CXMYD#4417")
    expect(page.get_by_role("img", name="new message")).to_have_count(1)
    page.locator(".person", has_text="130 0000 0002").click()
    expect(page.locator("#card")).to_contain_text("visited深圳市")
    expect(page.get_by_role("img", name="new message")).to_have_count(0)


def test_page_reconnects(open_page: Callable[..., Page], running: Running) -> None:
    """When the events break off the page connects anew and fetches what it missed."""
    page = open_page(path=TALK)
    page.context.set_offline(True)
    running.call(running.simulator._feed.close)
    expect(page.locator("#link")).to_have_text("reconnecting")
    running.run(running.simulator.ask(NUMBER, "10086", "CXMYD"))
    page.context.set_offline(False)
    expect(bubbles(page, "mt")).to_have_text([PROMPT], timeout=60_000)
    expect(page.locator("#link")).to_have_text("1 bind")


def test_faults_are_ordered_and_withdrawn(
    open_page: Callable[..., Page], running: Running, tmp_path: Path
) -> None:
    """The panel offers faults with their settings, says what is wrong, and shows those in force."""
    page = open_page(path=TALK)
    page.get_by_text("Faults", exact=True).click()
    page.get_by_label("Fault", exact=True).select_option("refuse_submit")
    page.get_by_label("count").fill("0")
    page.get_by_role("button", name="Order", exact=True).click()
    expect(page.get_by_role("status").last).to_contain_text("whole number from 1")
    page.get_by_label("count").fill("3")
    page.get_by_role("button", name="Order", exact=True).click()
    expect(page.get_by_label("Faults in force")).to_contain_text("refuse_submit count 3, status 88")
    page.screenshot(path=tmp_path / "faults.png")
    page.get_by_role("button", name="Withdraw").click()
    expect(page.get_by_label("Faults in force").locator("li")).to_have_count(0)
    assert not running.simulator.smsc.faults.as_json()


def test_dark_and_keyboard(open_page: Callable[..., Page], tmp_path: Path) -> None:
    """The page follows the system's colours; everything is reached by keyboard."""
    page = open_page(color_scheme="dark", path=TALK)
    background = page.evaluate("getComputedStyle(document.querySelector('.screen')).backgroundColor")
    assert sum(map(int, re.findall(r"\d+", background)[:3])) < 120
    page.get_by_label("Text message").focus()
    page.keyboard.type("CXMYD")
    page.keyboard.press("Enter")
    expect(bubbles(page, "mt")).to_have_text([PROMPT])
    page.locator("#pdus summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#pdus details[open] .hex")).to_be_visible()
    page.screenshot(path=tmp_path / "dark.png")
