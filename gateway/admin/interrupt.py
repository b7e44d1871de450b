"""Ctrl-C and SIGTERM in long imports: they end at once, give back what they hold, and say how to go on."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

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
