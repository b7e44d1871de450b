"""What the demo shows: steps with their times, and conversations as a phone shows them.

Invariant: lines are only ever added, so that the same is read on a terminal, through a pipe and in a log.
Texts come from outside and are never read as markup.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.align import Align
from rich.console import Console, Group
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from gateway.demo.smsc_api import Message

_WIDEST = 96
_BUBBLE = 52


class Screen:
    """Everything the demo writes to the terminal."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        self._width = min(self._console.width, _WIDEST)

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[list[str]]:
        """Show that `what` is under way, then how long it took and what was put into the list."""
        begun_s = time.monotonic()
        result: list[str] = []
        with self._console.status(Text(f"{what} …")):
            yield result
        line = Text("  ✓ ", style="green") + Text(what, style="default")
        if result:
            line += Text(f"  {'; '.join(result)}", style="dim")
        line += Text(f"  {time.monotonic() - begun_s:.1f} s", style="dim")
        self._print(line)

    def heading(self, title: str, remark: str) -> None:
        """Opens a conversation."""
        self._print("")
        self._print(Rule(Text(title, style="bold"), style="cyan"))
        self._print(Align.center(Text(remark, style="dim"), width=self._width))

    def bubble(self, message: Message) -> None:
        """One text: what the phone sent on the right, what it received on the left."""
        sent = message.direction == "mo"
        facts = (
            f"{_plus(message.number)} → {message.service}"
            if sent
            else f"{message.service} → {_plus(message.number)}"
        )
        if message.parts > 1:
            facts += f" · {message.parts} SMS"
        if message.answer_ms is not None:
            facts += f" · {message.answer_ms:.0f} ms"
        panel = Panel(
            Text(message.text),
            subtitle=Text(facts, style="dim"),
            subtitle_align="right" if sent else "left",
            border_style="green" if sent else "white",
            width=min(_BUBBLE, self._width),
        )
        self._print(Align(panel, "right" if sent else "left", width=self._width))

    def verdict(self, good: bool, words: str) -> None:
        """Closes a conversation."""
        self._print(Text("  ✓ " if good else "  ✗ ", style="green" if good else "bold red") + Text(words))

    def places(self, rows: list[tuple[str, str]], closing: str) -> None:
        """Where the parts can be reached, while the demo runs."""
        table = Table.grid(padding=(0, 2))
        for name, value in rows:
            table.add_row(Text(name, style="bold"), Text(value, overflow="fold"))
        self._print("")
        self._print(
            Panel(Group(table, Text(""), Text(closing, style="dim")), width=self._width, border_style="cyan")
        )

    def say(self, words: str, *, style: str = "") -> None:
        """One plain line."""
        self._print(Text(words, style=style))

    def _print(self, what: object) -> None:
        self._console.print(what, width=self._width)


def _plus(number: str) -> str:
    return f"+{number}" if number.isdigit() else number
