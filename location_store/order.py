"""Several inputs of one ingest: which can be read at all, and in which order.

The shell gives f10.csv before f2.csv, and the newest first would make nearly all others late: inputs are
worked off in the order of the time of their first usable row. Invariant: nothing is written here, and every
header was read before the first row is written. Called by `ingest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from math import inf
from pathlib import Path
from typing import NamedTuple

from location_store.columns import Block, Shape, blocks
from location_store.errors import BadInput
from location_store.sightings import BadTimes
from location_store.sources import size_of

PROBE_BYTES = 1 << 20
"""What is read of a file at a time until a usable row is found."""

Named = str | Path
TimeOf = Callable[[Block], int | None]
"""The time of the first usable row of a block (unix seconds), None where there is none."""


class Input(NamedTuple):
    """One input. `number`: its place among those given. `size`: in bytes, None of a pipe."""

    number: int
    path: Named
    size: int | None
    blocks: Iterable[Block]


class Survey(NamedTuple):
    """The inputs in the order to read them, and what is wrong with the others, a line each."""

    inputs: list[Input]
    unusable: list[str]


def survey(paths: Sequence[Named], shape: Shape, time_of: TimeOf, block_bytes: int) -> Survey:
    """Look at every input; `time_of` may raise BadInput. A single one is left to who reads it."""
    found: list[tuple[float, Input]] = []
    unusable: list[str] = []
    for number, path in enumerate(paths):
        try:
            size = size_of(path)
            whole: Iterator[Block] = blocks(path, [shape], block_bytes=block_bytes)
            time_s: float | None = None
            if len(paths) > 1 and size is None:  # a pipe is read once only
                first = next(whole, None)
                if first is not None:
                    time_s = time_of(first)
                    whole = chain([first], whole)
            elif len(paths) > 1:
                time_s = _time_of_file(path, shape, time_of)
        except BadInput as error:
            unusable.append(fault(path, error))
        else:
            found.append((inf if time_s is None else time_s, Input(number, path, size, whole)))
    found.sort(key=lambda each: each[0])
    return Survey([each for _, each in found], unusable)


def fault(path: Named, error: BadInput) -> str:
    """What is wrong with an input, with its name."""
    return f"{path}: {error}" if isinstance(error, BadTimes) else str(error)


def _time_of_file(path: Named, shape: Shape, time_of: TimeOf) -> int | None:
    with closing(blocks(path, [shape], block_bytes=PROBE_BYTES)) as probe:
        return next((time_s for time_s in map(time_of, probe) if time_s is not None), None)
