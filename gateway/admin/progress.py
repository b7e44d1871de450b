"""Progress bars of the imports, on stderr, and only where a person watches."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from gateway.admin.output import console
from gateway.errors import printable

Show = Callable[[int, int | None], None]


@contextmanager
def progress_bar(title: str, *, counted: bool = False) -> Iterator[Show]:
    """Gives the callback of an import: so many bytes are read, of how many (None: not known); `counted`: they
    are no bytes.
    """
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        *((MofNCompleteColumn(),) if counted else (DownloadColumn(), TransferSpeedColumn())),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(printable(title), total=None)
        yield lambda done, total: bar.update(task, total=total, completed=done)


@contextmanager
def spinner() -> Iterator[Callable[[str], None]]:
    """Gives a callback that shows the name of the step that has begun."""
    if not sys.stderr.isatty():
        yield lambda _name: None
        return
    with console(stderr=True).status("") as status:
        yield lambda name: status.update(printable(name))
