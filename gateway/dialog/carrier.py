"""One carrier's service: its numbers, its dialog, its rules and limits.

Values only. The fields are the keys of `config/carriers/*.toml`, where each is explained to the operator; the
configuration builds and checks them, the conversation and the replies read them.
"""

from dataclasses import dataclass
from typing import Literal

Dialog = Literal["prompt-for-id", "id-inline", "id-inline-then-confirm", "none"]
Language = Literal["zh", "en"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carrier:
    """The rules of one carrier. `window_days` are calendar days of `timezone`."""

    name: str
    numbers: tuple[str, ...] = ()
    dialog: Dialog = "none"
    window_days: int = 14
    through: Literal["yesterday", "now"] = "yesterday"
    timezone: str = "Asia/Shanghai"
    stay_hours: float = 4.0
    stay_rule: Literal["continuous", "daily-span"] = "continuous"
    queries_per_day: int = 10
    prompt_valid_s: int = 600
    tries_per_day: int = 3
    tries_per_30_days: int = 10
    help_interval_s: int = 60
    loop_answers: int = 30
    loop_window_s: int = 600
    languages: tuple[Language, ...] = ("zh", "en")
    signature: str = ""
    signature_en: str = ""
    park_limit: int | None = None

    def __hash__(self) -> int:
        """By name alone: what is kept by carrier is looked up for every message."""
        return hash(self.name)

    @property
    def limited(self) -> bool:
        """Whether the limits per subscriber hold: queries a day, pauses between notices, the loop guard.

        `queries_per_day = 0` turns them off for load tests. The lock after wrong digits is no limit but
        protects the subscriber, and stays.
        """
        return self.queries_per_day > 0

    def language(self, wanted: Language) -> Language:
        """The language to answer in: the one wanted where the carrier has it, else the carrier's first."""
        return wanted if wanted in self.languages else self.languages[0]
