"""Rejects of feeds, which have no end: what is kept of them is bounded.

Invariant: at most two files of `MAX_ROWS` rows for each name, NAME.csv and, from before, NAME.1.csv; the
newest rejects are always there. Called by `run`.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from location_store.feeds.feed import RejectedRow
from location_store.rejects import Rejects

MAX_ROWS = 1_000_000


class Rejected:
    """The rejects files that are open, by feed and by name."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._open: dict[str, dict[str, Rejects]] = {}

    def add(self, feed: str, reason: str, row: RejectedRow) -> None:
        """Set one row aside."""
        of_feed = self._open.setdefault(feed, {})
        rejects = of_feed.get(row.source)
        if rejects is None or rejects.total >= MAX_ROWS:
            if rejects is not None:
                rejects.close()
            rejects = of_feed[row.source] = self._begin(row.source)
        rejects.add(row.line, reason, row.text)

    def commit(self, feed: str) -> None:
        """Write what was added."""
        for rejects in self._open.get(feed, {}).values():
            rejects.commit()

    def close(self, feed: str) -> None:
        """Write, and begin a new file with the next reject."""
        for rejects in self._open.pop(feed, {}).values():
            rejects.close()

    def _begin(self, source: str) -> Rejects:
        name = Path(source).name.removesuffix(".csv")
        path = self._data_dir / "rejects" / f"{name}.csv"
        with suppress(FileNotFoundError):
            path.rename(path.with_name(f"{name}.1.csv"))
        return Rejects(self._data_dir, f"{name}.csv")
