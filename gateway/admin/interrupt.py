"""Ctrl-C and SIGTERM: long imports end at once, give back what they hold, and say how to go on; what has no
end by itself finishes what it has begun.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(mend: str) -> Iterator[None]:
    """Both signals raise KeyboardInterrupt in the block, and stderr says "interrupted; `mend`".

    Also while it waits for input: polars, once imported, has a handler of its own for SIGINT, after which
    the system goes on waiting.
    """
    before = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"cxmyd: interrupted; {mend}", err=True)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def told_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether one of both signals has come. The second one ends the process as if there were no block."""
    told = threading.Event()
    before: dict[signal.Signals, Any] = {}

    def tell(number: int, _frame: object) -> None:
        told.set()
        signal.signal(number, before[signal.Signals(number)])

    for number in _SIGNALS:
        before[number] = signal.signal(number, tell)
    try:
        yield told.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
