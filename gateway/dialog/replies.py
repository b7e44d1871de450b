"""Every word a subscriber sees, in Chinese and in English.

Pure. Invariants: no reply tells a number that is not known from one whose digits are wrong; every reply
that is no answer fits one SMS part with the shipped signatures; English texts use the GSM 03.38 alphabet
(160 characters a part instead of 70). The conversation chooses a reply, the pipeline renders it when the
history is at hand.
"""

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from gateway.dialog.carrier import Carrier
from gateway.dialog.localday import local_date
from gateway.dialog.state import UNTIL_UNLOCKED_S


class Kind(StrEnum):
    """The replies there are; the value names the outcome in records and metrics."""

    ANSWER = "answered"
    ASK_DIGITS = "asked-digits"
    ASK_DIGITS_AGAIN = "asked-digits-again"  # digits are awaited, and the text was none
    ASK_CONSENT = "asked-consent"  # the digits are right; the look-up is to be authorised
    ASK_CONSENT_AGAIN = "asked-consent-again"  # a yes is awaited, and the text was neither yes nor no
    EXPLAIN_INLINE = "explained"  # the keyword without digits, to a carrier that wants both in one text
    WRONG_DIGITS = "wrong-digits"  # they do not match, or there is nothing here to match them with
    LOCKED = "locked"
    LIMIT_REACHED = "limit-reached"
    EXPIRED = "expired"  # digits or a yes after the prompt had lapsed
    CANCELLED = "cancelled"
    HELP = "helped"


class Reply(NamedTuple):
    """One reply. `tries_left` goes with WRONG_DIGITS; `until_s` (unix seconds, UNTIL_UNLOCKED_S) with
    LOCKED.
    """

    kind: Kind
    tries_left: int = 0
    until_s: int = 0


class Named(Protocol):
    """What an answer needs of a place; `location_store.places.Place` has it."""

    @property
    def name_zh(self) -> str: ...
    @property
    def name_en(self) -> str: ...
    @property
    def province_zh(self) -> str: ...


# {keyword}: what to send to this carrier; {bare}: the keyword alone; {again}: what to do after wrong digits.
_ZH: Mapping[str, str] = {
    Kind.ANSWER: "您{period}到访过（停留满{hours}小时{order}）：{places}。仅供参考，不排除边界漫游误列邻市。",
    "order": "，最近的在前",
    "comma": "、",
    "none visited": "查询成功：您{period}没有停留满{hours}小时的城市。关机或无信号的时段没有记录。",
    "since": "{first}（记录起始）",
    "none yet": "查询成功：您的记录从{since}算起，到{until}为止还没有可查的日期，请过两天再发送CXMYD。",
    Kind.ASK_DIGITS: "请在{valid}内回复登记证件号码的后四位（末位是X请照填），"
    "即查询您近{days}天到访过的城市。",
    Kind.ASK_DIGITS_AGAIN: "请直接回复证件号码的后四位，如1234或123X；要重新开始请发送{bare}。",
    Kind.ASK_CONSENT: "请在{valid}内回复Y，授权查询您近{days}天到访过的城市；不回复则不查询。",
    Kind.ASK_CONSENT_AGAIN: "同意查询请回复Y，不同意请回复N；要重新开始请发送{keyword}。",
    Kind.EXPLAIN_INLINE: "查询近{days}天到访过的城市，请发送CXMYD#加登记证件号码的后四位，如CXMYD#1234，"
    "末位是X请照填。",
    Kind.WRONG_DIGITS: "后四位与证件号码不符，或本号码在此无法核实身份。今天还可试{tries}次，{again}；"
    "或持证件到营业厅办理。",
    "reply again": "请重新回复",
    "send again": "请重发CXMYD#后四位",
    Kind.LOCKED: "证件号码后四位多次未能核实，为保护您的信息，查询锁定到{until}0点，之后可再试；"
    "或持证件到营业厅办理。",
    "locked for good": "证件号码后四位多次未能核实，为保护您的信息，查询已锁定，请持证件到营业厅解锁。",
    Kind.LIMIT_REACHED: "您今天的{queries}次查询已用完，请明天再发送CXMYD。",
    Kind.EXPIRED: "上次查询超过{valid}没有完成，已经结束，请重新发送{keyword}。",
    Kind.CANCELLED: "好的，没有查询。需要时请再发送CXMYD。",
    Kind.HELP: "查询近{days}天到访过的城市，请发送{keyword}。{english}",
    "english": "For English send CXMYD EN",
    "bare": "CXMYD",
    "with digits": "CXMYD#证件号码后四位",
}

_EN: Mapping[str, str] = {
    Kind.ANSWER: "{period}: you stayed {hours} h or more in {places}{order}. "
    "For reference only: border roaming may add a neighbouring city.",
    "order": " (latest first)",
    "comma": ", ",
    "none visited": "{period}: look-up done, there is no city where you stayed {hours} h or more. "
    "Times without coverage leave no record.",
    "since": "{period} (record starts {first})",
    "none yet": "Look-up done. Your history counts from {since}; up to {until} there is no day to show yet. "
    "Please send CXMYD in two days.",
    Kind.ASK_DIGITS: "Reply within {valid} with the last 4 characters of your registered ID number to see "
    "the cities you visited in the last {days} days.",
    Kind.ASK_DIGITS_AGAIN: "Please reply with the last 4 characters of your ID number only, e.g. 1234 "
    "or 123X. To start again send {bare}",
    Kind.ASK_CONSENT: "Reply Y within {valid} to allow a look-up of the cities you visited in the last "
    "{days} days. No reply, no look-up.",
    Kind.ASK_CONSENT_AGAIN: "Reply Y to allow the look-up or N to refuse it. To start again send {keyword}",
    Kind.EXPLAIN_INLINE: "To see the cities you visited in the last {days} days send CXMYD# and the last 4 "
    "characters of your ID number, e.g. CXMYD#1234 EN",
    Kind.WRONG_DIGITS: "ID digits do not match, or this number cannot be identified here. "
    "{tries} left today: {again}, or visit a shop with your ID.",
    "reply again": "reply again",
    "send again": "send CXMYD#1234 EN",
    Kind.LOCKED: "Your ID digits could not be verified. To protect you, look-ups are locked until 00:00 "
    "on {until}. Or visit a shop with your ID.",
    "locked for good": "Your ID digits could not be verified. To protect you, look-ups are locked. "
    "To unlock them visit a shop with your ID.",
    Kind.LIMIT_REACHED: "You have used all {queries} look-ups of today. Please send CXMYD again tomorrow.",
    Kind.EXPIRED: "Your last request was not completed within {valid} and has ended. Please send {keyword}",
    Kind.CANCELLED: "All right, nothing was looked up. Send CXMYD whenever you need it.",
    Kind.HELP: "To see the cities you visited in the last {days} days send {keyword}",
    "english": "",
    "bare": "CXMYD EN",
    "with digits": "CXMYD#1234 EN, with the last 4 characters of your ID number",
}

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

# Five names that two cities share in Latin letters; in Chinese no two cities of the table share one.
_PROVINCE_EN: Mapping[tuple[str, str], str] = {
    ("Fuzhou", "福建省"): "Fujian",
    ("Fuzhou", "江西省"): "Jiangxi",
    ("Suzhou", "江苏省"): "Jiangsu",
    ("Suzhou", "安徽省"): "Anhui",
    ("Taizhou", "江苏省"): "Jiangsu",
    ("Taizhou", "浙江省"): "Zhejiang",
    ("Yichun", "黑龙江省"): "Heilongjiang",
    ("Yichun", "江西省"): "Jiangxi",
    ("Yulin", "广西壮族自治区"): "Guangxi",
    ("Yulin", "陕西省"): "Shaanxi",
}


def render(
    reply: Reply,
    carrier: Carrier,
    english: bool,
    *,
    window: tuple[int, int] | None = None,
    visits: Sequence[Named] = (),
    since_min: int | None = None,
) -> str:
    """The text of `reply`, the carrier's signature at its end.

    An ANSWER needs `window` (start, end in unix minutes, the end outside) and `visits`, the places most
    recent first; `since_min` (unix minutes) is where the subscriber's history begins, None when nothing is
    hidden. Raises ValueError on an ANSWER without a window.
    """
    if reply.kind is not Kind.ANSWER:
        body = _notice(reply, carrier, english)
    elif window is None:
        raise ValueError("an answer needs the window it is about")
    else:
        body = _answer(carrier, english, window, visits, since_min)
    signature = carrier.signature_en or carrier.signature if english else carrier.signature
    return f"{body} {signature}" if english and signature else body + signature


def _notice(reply: Reply, carrier: Carrier, english: bool) -> str:
    """The text of a reply that needs no history, without signature."""
    words = _EN if english else _ZH
    inline = carrier.dialog in ("id-inline", "id-inline-then-confirm")
    bare = words["bare"]
    text = words[reply.kind]
    if reply.kind is Kind.LOCKED and reply.until_s >= UNTIL_UNLOCKED_S:
        text = words["locked for good"]
    return text.format(
        bare=bare,
        keyword=words["with digits"] if inline else bare,
        english=words["english"] if "en" in carrier.languages else "",
        again=words["send again"] if inline else words["reply again"],
        days=carrier.window_days,
        valid=_duration(carrier.prompt_valid_s, english),
        queries=carrier.queries_per_day,
        tries=reply.tries_left,
        until=_date(local_date(reply.until_s, _zone(carrier.timezone)), english),
    )


def _answer(
    carrier: Carrier, english: bool, window: tuple[int, int], visits: Sequence[Named], since_min: int | None
) -> str:
    """The text that names the visited places, or says that the look-up was made and there are none."""
    words = _EN if english else _ZH
    zone = _zone(carrier.timezone)
    hours = f"{carrier.stay_hours:g}"
    first, last = local_date(window[0] * 60, zone), local_date((window[1] - 1) * 60, zone)
    shortened = since_min is not None and since_min > window[0]
    if since_min is not None and shortened:
        first = local_date(since_min * 60, zone)
        if since_min >= window[1]:
            return words["none yet"].format(since=_date(first, english), until=_date(last, english))
    period = _period(first, last, english, shortened)
    if not visits:
        return words["none visited"].format(period=period, hours=hours)
    places = words["comma"].join([_name_en(place) if english else place.name_zh for place in visits])
    order = words["order"] if len(visits) > 1 else ""
    return words[Kind.ANSWER].format(period=period, hours=hours, order=order, places=places)


def _name_en(place: Named) -> str:
    province = _PROVINCE_EN.get((place.name_en, place.province_zh))
    return f"{place.name_en} ({province})" if province else place.name_en


def _duration(seconds: int, english: bool) -> str:
    """How long a prompt is valid, in whole minutes from two minutes on."""
    if seconds < 120:
        return f"{seconds} s" if english else f"{seconds}秒"
    return f"{seconds // 60} min" if english else f"{seconds // 60}分钟"


def _date(day: date, english: bool) -> str:
    return f"{day.day} {_MONTHS[day.month - 1]}" if english else f"{day.month}月{day.day}日"


def _period(first: date, last: date, english: bool, shortened: bool) -> str:
    """`2月1日至14日`, `1-14 Feb`; both months where they differ. No year: a window is shorter than one.

    `shortened`: say that the subscriber's record starts on the first day, not only the window.
    """
    one_month = (first.year, first.month) == (last.year, last.month)
    if english:
        period = f"{first.day if one_month else _date(first, True)}-{_date(last, True)}"
        period = _date(first, True) if first == last else period
        return _EN["since"].format(period=period, first=_date(first, True)) if shortened else period
    start = _date(first, False)
    start = _ZH["since"].format(first=start) if shortened else start
    if first == last:
        return start
    return f"{start}至{f'{last.day}日' if one_month else _date(last, False)}"


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
