"""Errors of the gateway that reach an operator.

Invariant: the text of every error is one line that says what is wrong, with which value, and what to do; no
secret, no full number and no city is in it. The command line prints it and ends with status 1.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


def printable(text: str) -> str:
    """`text` fit for one line of a terminal or a log: what is not printable (ESC, line ends, NUL, marks that
    turn the direction of writing, lone surrogates) as a `\\u` escape."""
    return "".join(char if char.isprintable() else f"\\u{ord(char):04x}" for char in text)


class GatewayError(Exception):
    """Base of everything the gateway refuses to an operator; `str` is the line to show."""


class Problem(NamedTuple):
    """One mistake in a configuration: where, what stands there, how to mend it."""

    key: str  # path of the key, `smsc[0].port`; empty where the file as a whole is meant
    value: str  # as written; empty when absent, `(secret)` when it must not be shown
    mend: str  # what the value must be, or what to do
    file: Path | None = None  # when it is not the file that was asked for

    def __str__(self) -> str:
        where = f"{self.file}: " if self.file else ""
        what = f"{self.key} = {self.value}" if self.key and self.value else self.key or self.value
        return f"{where}{what}: {self.mend}" if what else f"{where}{self.mend}"

    def to_json(self) -> dict[str, str]:
        """For an event; without what is empty."""
        fields = {"file": str(self.file or ""), "key": self.key, "value": self.value, "mend": self.mend}
        return {name: value for name, value in fields.items() if value}


class ConfigError(GatewayError):
    """A configuration that cannot be used; `problems` are all its mistakes, never empty."""

    def __init__(self, path: Path, problems: Sequence[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        more = len(self.problems) - 1
        rest = f" (and {more} more: `cxmyd config check` names them all)" if more else ""
        super().__init__(f"{path}: {self.problems[0]}{rest}")
