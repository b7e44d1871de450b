"""The files of one import, block after block, each with the rejects of its file.

Called by the imports of subscribers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from location_store.columns import Block, Shape, blocks
from location_store.rejects import Rejects
from location_store.sources import size_of

Progress = Callable[[int, int | None], None]
"""Bytes read so far, of how many (None: not known)."""


def read_all(
    paths: Sequence[str | Path], shape: Shape, data_dir: Path, progress: Progress | None
) -> Iterator[tuple[Block, Rejects]]:
    """All blocks of files of one shape. Raises BadInput for a file that cannot be read or has no usable
    header.
    """
    sizes = [size_of(path) for path in paths]
    bytes_total = None if None in sizes else sum(size or 0 for size in sizes)
    bytes_before = 0
    for path, size in zip(paths, sizes, strict=True):
        with Rejects(data_dir, str(path)) as rejects:
            for block in blocks(path, [shape]):
                yield block, rejects
                if progress is not None:
                    progress(bytes_before + block.bytes_done, bytes_total)
        bytes_before += size or 0
