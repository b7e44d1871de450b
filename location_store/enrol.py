"""Subscribers from files into the store: carrier, digest of the ID digits, language, since when the number
is theirs.

Invariant: the last four of an ID document leave this module as a keyed digest only, not even to the
rejects. An operator's block survives an import; the mark of a forgotten number does not: the import is its
new beginning; and with `since` the history of who had the number before goes. Called by `cxmyd subscribers
import`. Importing the same rows again changes nothing.

The reasons of rejects: fields, encoding, msisdn, carrier, id_last4, since, language.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple, cast
from zoneinfo import ZoneInfo

import polars as pl

from location_store.columns import Block, Shape
from location_store.errors import BadInput, StoreUnavailable
from location_store.history import Profile
from location_store.inputs import Progress, read_all
from location_store.merge import SINCE_MARGIN_MIN
from location_store.msisdn import normalise_series
from location_store.pseudonyms import Pseudonym, Pseudonyms
from location_store.record import (
    Record,
    cut,
    history_offset,
    pack_history,
    rewritten,
    unpack,
    unpack_history,
    with_subscriber,
)
from location_store.rejects import Rejects
from location_store.store import MAX_ATTEMPTS, Store, Update
from location_store.subscribers import Language, Subscriber, pack
from location_store.subscribers import unpack as unpack_subscriber
from location_store.window import midnight_min

SHAPE = Shape(("msisdn", "carrier", "id_last4"), ("since", "language"), secret=("id_last4",))
LANGUAGES = ("zh", "en")

_ID_LAST4 = re.compile(r"[0-9]{3}[0-9X]")


@dataclass(slots=True)
class Totals:
    """What an import did, in rows. written: new or different from what was stored."""

    rows: int = 0
    written: int = 0
    unchanged: int = 0
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def usable(self) -> int:
        return self.rows - self.rejected.total()


class _RowError(Exception):
    """A row that cannot be used; `args[0]` is the reason."""


class _Row(NamedTuple):
    msisdn: str
    subscriber: Subscriber


def enrol(
    paths: Sequence[str | Path],
    store: Store,
    pseudonyms: Pseudonyms,
    profiles: Mapping[str, Profile],
    *,
    data_dir: Path,
    default_country: str = "CN",
    progress: Progress | None = None,
) -> Totals:
    """Import files of `SHAPE`; of several rows for a number the last one counts.

    `profiles`: by the name of the carrier; a row of another carrier is a reject. `progress` gets bytes read
    and bytes of all files. Raises BadInput for a file that cannot be read or has no usable header;
    StoreUnavailable.
    """
    enrolment = _Enrolment(store, pseudonyms, profiles, default_country)
    for block, rejects in read_all(paths, SHAPE, data_dir, progress):
        enrolment.block(block, rejects)
    return enrolment.totals


class _Enrolment:
    def __init__(
        self, store: Store, pseudonyms: Pseudonyms, profiles: Mapping[str, Profile], default_country: str
    ) -> None:
        self.totals = Totals()
        self._store = store
        self._pseudonyms = pseudonyms
        self._zones = {name: ZoneInfo(profile.timezone) for name, profile in profiles.items()}
        self._carrier_ids: dict[str, int] = {}
        self._default_country = default_country

    def block(self, block: Block, rejects: Rejects) -> None:
        before = rejects.counts.copy()
        frame = block.parse(rejects)
        frame = frame.with_columns(
            normalise_series(frame["msisdn"], self._default_country).cast(pl.String),
            pl.col("carrier", "id_last4", "since", "language")
            .cast(pl.String)
            .str.strip_chars()
            .fill_null(""),
        )
        rows: dict[str, Subscriber] = {}
        good = 0
        for line, *fields in frame.iter_rows():
            try:
                row = self._row(*fields)
            except _RowError as bad:
                rejects.add(line, str(bad), block.row(line))
                continue
            rows.pop(row.msisdn, None)
            rows[row.msisdn] = row.subscriber
            good += 1
        rejects.commit()
        written = self._write(rows)
        self._store.confirm()
        rejected = rejects.counts - before
        self.totals.rejected.update(rejected)
        self.totals.rows += good + rejected.total()
        self.totals.written += written
        self.totals.unchanged += good - written

    def _row(self, msisdn: str | None, carrier: str, id_last4: str, since: str, language: str) -> _Row:
        if msisdn is None:
            raise _RowError("msisdn")
        zone = self._zones.get(carrier)
        if zone is None:
            raise _RowError("carrier")
        digest = b""
        if id_last4:  # somebody without ID on file can be served by carriers that do not ask for it
            if not _ID_LAST4.fullmatch(id_last4.upper()):
                raise _RowError("id_last4")
            digest = self._pseudonyms.id_digest(msisdn, id_last4)
        language = language.lower() or LANGUAGES[0]
        if language not in LANGUAGES:
            raise _RowError("language")
        subscriber = Subscriber(
            carrier_id=self._carrier_id(carrier),
            id_digest=digest,
            language=cast(Language, language),
            since_min=_since_min(since, zone) if since else None,
            imported=True,
        )
        try:
            pack(subscriber)
        except BadInput as error:
            raise _RowError("since") from error
        return _Row(msisdn, subscriber)

    def _carrier_id(self, name: str) -> int:
        if name not in self._carrier_ids:
            self._carrier_ids[name] = self._store.carrier_id(name)
        return self._carrier_ids[name]

    def _write(self, rows: Mapping[str, Subscriber]) -> int:
        """Write those that differ from what is stored; returns how many."""
        older = self._pseudonyms.older
        if older is None:
            return self._put(rows, frozenset())
        former = dict(zip(rows, self._store.read([older.of(msisdn) for msisdn in rows]), strict=True))
        blocked = {msisdn for msisdn, read in former.items() if unpack(read).subscriber.blocked}
        written = self._put(rows, blocked)
        self._leave([(older.of(msisdn), rows[msisdn].since_min) for msisdn, read in former.items() if read])
        return written

    def _put(self, rows: Mapping[str, Subscriber], blocked: Collection[str]) -> int:
        """`blocked`: those who were so under the older key."""
        wanted = [
            (self._pseudonyms.of(msisdn), subscriber._replace(blocked=msisdn in blocked))
            for msisdn, subscriber in rows.items()
        ]
        written = 0
        for _ in range(MAX_ATTEMPTS):
            updates = []
            stored = self._store.read([pseudonym for pseudonym, _ in wanted])
            for (pseudonym, subscriber), read in zip(wanted, stored, strict=True):
                before = read[1 : history_offset(read)] if read is not None else b""
                is_blocked = subscriber.blocked or (before != b"" and unpack_subscriber(before).blocked)
                part = pack(subscriber._replace(blocked=is_blocked))
                if part != before:
                    changed = with_subscriber(read, part)
                    if subscriber.since_min is not None:
                        changed = _without_former_owner(changed, subscriber.since_min)
                    updates.append(Update(pseudonym, read, changed))
            conflicts = {updates[n].pseudonym for n in self._store.put(updates)}
            written += len(updates) - len(conflicts)
            if not conflicts:
                return written
            wanted = [each for each in wanted if each[0] in conflicts]
        raise StoreUnavailable(f"{self._store.nodes.name}: records change too fast to be written")

    def _leave(self, places: Sequence[tuple[Pseudonym, int | None]]) -> None:
        """Keep no more than the history, from `since` on, where the older key put them."""
        for _ in range(MAX_ATTEMPTS):
            updates = []
            found = self._store.read([pseudonym for pseudonym, _ in places])
            for (pseudonym, since_min), read in zip(places, found, strict=True):
                before = unpack(read)
                history = before.history
                if since_min is not None:
                    history = cut(history, since_min - SINCE_MARGIN_MIN)
                after = Record(history=history)
                if after != before:
                    updates.append(Update(pseudonym, read, rewritten(read, after)))
            conflicts = {updates[n].pseudonym for n in self._store.put(updates)}
            if not conflicts:
                return
            places = [each for each in places if each[0] in conflicts]
        raise StoreUnavailable(f"{self._store.nodes.name}: records change too fast to be written")


def _without_former_owner(record: bytes, since_min: int) -> bytes:
    """The record without what lies before `since`, but for what tells how a silence over it began."""
    at = history_offset(record)
    history = cut(unpack_history(record[at:]), since_min - SINCE_MARGIN_MIN)
    return record[:at] + pack_history(history)


def _since_min(text: str, zone: ZoneInfo) -> int:
    """Unix minute of RFC 3339, or of a date's beginning in the carrier's zone."""
    try:
        if len(text) == len("2026-01-31"):
            return midnight_min(date.fromisoformat(text), zone)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return int(moment.timestamp() // 60)
    except (ValueError, OverflowError):
        pass
    raise _RowError("since")
