"""Bytes of an input file, whatever they are packed in, cut at line ends.

Invariants: memory is bounded by the size of a block; the cuts depend on the bytes alone, not on how a pipe
delivers them. Called by `columns`, and by imports for the size.
"""

from __future__ import annotations

import gzip
import io
import stat
import sys
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Literal, cast

import zstandard

from location_store.errors import BadInput

BLOCK_BYTES = 16 << 20
_MAGIC: dict[bytes, Literal["gzip", "zstd", "parquet"]] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
}


class Source:
    """One open input. `kind` tells how it is packed; `total` is its size in bytes, None for a pipe."""

    def __init__(self, name: str, raw: BinaryIO, stream: BinaryIO, kind: str, total: int | None) -> None:
        self.name = name
        self.kind = kind
        self.total = total
        self._raw = raw
        self._stream = stream
        self._read_bytes = 0

    def done(self) -> int:
        """Bytes taken from the file so far, as it is stored; of a pipe, bytes after decompression."""
        return self._raw.tell() if self.total is not None else self._read_bytes

    def lines(self, block_bytes: int) -> Iterator[bytes]:
        """Whole lines, about `block_bytes` at a time; the last piece may lack its line end.

        Raises BadInput when a line is longer than a block or the compressed data is damaged.
        """
        rest = b""
        while piece := self._read(block_bytes):
            end = piece.rfind(b"\n") + 1
            if end:
                yield rest + piece[:end]
                rest = piece[end:]
            else:
                rest += piece
                if len(rest) > block_bytes:
                    raise BadInput(f"{self.name} is no text file: a line is longer than {block_bytes} bytes")
        if rest:
            yield rest

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes unless the input ends: a pipe gives fewer at a time."""
        pieces = []
        try:
            while size and (piece := self._stream.read(size)):
                pieces.append(piece)
                size -= len(piece)
                self._read_bytes += len(piece)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise BadInput(f"{self.name}: the compressed data is cut off or damaged ({error})") from error
        except OSError as error:
            raise BadInput(f"{self.name} cannot be read: {error.strerror or error}") from error
        return b"".join(pieces)


@contextmanager
def opened(path: str | Path) -> Iterator[Source]:
    """Open `path` ("-": standard input) and look at its first bytes. Raises BadInput if it cannot be read."""
    with ExitStack() as stack:
        total: int | None = None
        if str(path) == "-":
            name = "standard input"
            raw: io.BufferedReader = io.BufferedReader(cast(io.RawIOBase, sys.stdin.buffer))
            stack.callback(raw.detach)  # it is not ours to close
        else:
            name = str(path)
            total = size_of(path)
            try:
                raw = stack.enter_context(Path(path).open("rb"))
            except OSError as error:
                raise BadInput(f"{name} cannot be read: {error.strerror}") from error
        head = raw.peek(4)[:4]
        kind = next((kind for magic, kind in _MAGIC.items() if head.startswith(magic)), "text")
        stream = cast(BinaryIO, raw)
        if kind == "gzip":
            stream = cast(BinaryIO, stack.enter_context(gzip.GzipFile(fileobj=raw)))
        elif kind == "zstd":
            reader = zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True, closefd=False)
            stream = cast(BinaryIO, stack.enter_context(reader))
        elif kind == "parquet" and total is None:
            raise BadInput("Parquet cannot be read from a pipe: give the file's name")
        yield Source(name, raw, stream, kind, total)


def size_of(path: str | Path) -> int | None:
    """Size of a file in bytes, None for standard input and pipes. Raises BadInput if there is none."""
    if str(path) == "-":
        return None
    try:
        status = Path(path).stat()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}") from error
    return None if stat.S_ISFIFO(status.st_mode) else status.st_size
