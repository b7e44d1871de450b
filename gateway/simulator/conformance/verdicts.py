"""What a scenario may find, and the settings it judges by. Raised by scenarios, gathered by `runner`."""

from dataclasses import dataclass, field
from enum import Enum


class Level(Enum):
    """How the specification puts the rule; only what is a MUST decides over the exit status."""

    MUST = "must"
    SHOULD = "should"
    MAY = "may"


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"  # the provocation could not be brought about
    NOT_APPLICABLE = "not applicable"  # the ESME, or how the suite was called, rules it out


class Failed(Exception):  # noqa: N818 - a verdict, not an error
    """The ESME did other than the specification asks."""

    def __init__(self, expected: str, came: str) -> None:
        super().__init__(f"expected {expected}; {came}")
        self.expected = expected
        self.came = came


class Inconclusive(Exception):  # noqa: N818
    """The situation that the scenario judges did not come about."""


class NotApplicable(Exception):  # noqa: N818
    """There is nothing to judge here."""


@dataclass(frozen=True)
class Timing:
    """Seconds of the ESME under test, as it is configured; the suite waits no longer than these say."""

    response_s: float = 10.0  # the ESME answers our requests within
    response_timeout_s: float = 30.0  # the ESME waits so long for the response to a request of its own
    enquire_link_s: float = 60.0  # silence after which the ESME asks with enquire_link
    enquire_timeout_s: float = 30.0  # and after which, unanswered, it gives the link up
    session_init_s: float = 30.0  # it waits so long for its bind_resp
    reconnect_s: float = 60.0  # its longest pause between two attempts to bind
    quiet_s: float = 0.3  # how long we look for what must not come

    @property
    def dead_link_s(self) -> float:
        """How long a silent peer may go unnoticed. The limit of a request holds for enquire_link too."""
        return self.enquire_link_s + max(self.enquire_timeout_s, self.response_timeout_s)


@dataclass(frozen=True)
class Answering:
    """A text to which the ESME answers with a submit_sm. A run of # in `sender` or `text` is a counter, so
    that no text is taken for a repetition of another.
    """

    sender: str = "861390#######"
    service: str = "10086"
    text: str = "conformance"
    answers: bool = False  # whether a submit_sm follows; else only the deliver_sm_resp is judged


@dataclass(frozen=True)
class Options:
    """How the suite was called."""

    host: str = "127.0.0.1"
    port: int = 2775
    system_id: str | None = None
    password: str | None = None
    bind: str = "transceiver"  # or transmitter+receiver, transmitter, receiver
    binds: int = 1  # how many times the ESME binds in all (a pair counts as two)
    window: int = 0  # of the ESME under test; 0: unknown
    first_bind_s: float = 60.0  # how long to wait for an ESME that is started after the suite
    timing: Timing = field(default_factory=Timing)
    mo: Answering = field(default_factory=Answering)
