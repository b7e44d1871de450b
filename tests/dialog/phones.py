"""A subscriber's phone for the tests: texts go through grammar, conversation and words as in the pipeline."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.dialog.carrier import Carrier, Language
from gateway.dialog.conversation import Asked, Decision, step
from gateway.dialog.grammar import Digits, Query, parse
from gateway.dialog.replies import Named, render
from gateway.dialog.state import EMPTY, State, pack, unpack
from location_store.places import Places

SHANGHAI = ZoneInfo("Asia/Shanghai")
NOON_S = int(datetime(2026, 2, 15, 12, tzinfo=SHANGHAI).timestamp())
DAY_S = 86_400
WITH_ID = ("china-mobile", "china-unicom", "china-telecom")
CARRIERS = (*WITH_ID, "plain")
PLACES = Places.load()
_FILES = Path(__file__).parents[2] / "config" / "carriers"


def carrier(name: str, **overrides: object) -> Carrier:
    """A shipped carrier, with keys overridden."""
    keys = tomllib.loads((_FILES / f"{name}.toml").read_text("utf-8")) | overrides
    keys |= {key: tuple(keys[key]) for key in ("numbers", "languages")}
    return Carrier(name=name, **keys)


def places(*codes: str) -> Sequence[Named]:
    """Places by their codes."""
    found = [PLACES.by_code(code) for code in codes]
    return [place for place in found if place is not None]


class Phone:
    """A phone on a clock of its own, `tz` its carrier's zone. `id_last4` None: the number is not known to the
    gateway.
    """

    def __init__(
        self,
        rules: Carrier,
        id_last4: str | None = "123X",
        language: Language = "zh",
        *,
        tz: ZoneInfo = SHANGHAI,
    ) -> None:
        self.rules = rules
        self.tz = tz
        self.id_last4 = id_last4
        self.language: Language = language
        self.state: State = EMPTY
        self.now_s: float = NOON_S
        self.been = places("110000", "JP")
        self.last: Decision | None = None

    def send(self, text: str, after_s: float = 1) -> str | None:
        """The answer to `text`, sent so many seconds after the last one; None when there is none."""
        self.now_s += after_s
        intent = parse(text)
        digits = intent.digits if isinstance(intent, Query | Digits) else None
        asked = Asked(intent, digits is not None and digits == self.id_last4, self.language)
        self.last = step(self.rules, self.state, asked, self.now_s, self.tz)
        self.state = unpack(pack(self.last.state))
        if self.last.reply is None:
            return None
        return render(self.last.reply, self.rules, self.last.english, window=self.window(), visits=self.been)

    def outcomes(self, *texts: str) -> list[str]:
        """What each text, a second apart, leads to."""
        reasons = []
        for text in texts:
            self.send(text)
            assert self.last is not None
            reasons.append(self.last.reason.value)
        return reasons

    def window(self) -> tuple[int, int]:
        """The fourteen days before the phone's today, in unix minutes."""
        today = datetime.fromtimestamp(self.now_s, self.tz).replace(hour=0, minute=0, second=0, microsecond=0)
        end_min = int(today.timestamp()) // 60
        return end_min - 14 * 1440, end_min

    def override(self, **keys: object) -> None:
        """Change the carrier's rules in the middle of everything, as a reload does."""
        self.rules = replace(self.rules, **keys)  # type: ignore[arg-type]  # the tests name keys that exist
