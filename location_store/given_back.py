"""Numbers that were given back to the carrier: nothing is kept of them.

A list of them, day by day, keeps the store as large as the carrier is; a record does not age out by itself,
since who is not seen for a window is still a subscriber. Invariant: what is gone leaves no mark (`forget`
leaves one, since the person still has the number). Called by `cxmyd subscribers remove`; removing the same
rows again changes nothing.

The reasons of rejects: fields, encoding, msisdn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from location_store.columns import Shape, set_aside
from location_store.errors import StoreUnavailable
from location_store.inputs import Progress, read_all
from location_store.msisdn import normalise_series
from location_store.pseudonyms import Pseudonyms
from location_store.store import MAX_ATTEMPTS, Store, Update

SHAPE = Shape(("msisdn",))


@dataclass(slots=True)
class Totals:
    """What a removal did, in rows."""

    rows: int = 0
    removed: int = 0
    unknown: int = 0
    """Rows of whose numbers there was nothing."""
    rejected: Counter[str] = field(default_factory=Counter)

    @property
    def usable(self) -> int:
        return self.rows - self.rejected.total()


def remove(
    paths: Sequence[str | Path],
    store: Store,
    pseudonyms: Pseudonyms,
    *,
    data_dir: Path,
    default_country: str = "CN",
    progress: Progress | None = None,
) -> Totals:
    """Take the records of the numbers in files of `SHAPE` out, under every key.

    `progress` gets bytes read and bytes of all files. Raises BadInput for a file that cannot be read or has
    no usable header; StoreUnavailable.
    """
    totals = Totals()
    for block, rejects in read_all(paths, SHAPE, data_dir, progress):
        before = rejects.counts.copy()
        frame = block.parse(rejects)
        number = normalise_series(frame["msisdn"], default_country)
        set_aside(block, rejects, frame.filter(number.is_null())["line"], "msisdn")
        rejects.commit()
        good = number.drop_nulls()
        removed = _take_out(store, pseudonyms, good.unique().to_list())
        store.confirm()
        rejected = rejects.counts - before
        totals.rejected.update(rejected)
        totals.rows += len(good) + rejected.total()
        totals.removed += removed
        totals.unknown += len(good) - removed
    return totals


def _take_out(store: Store, pseudonyms: Pseudonyms, numbers: Sequence[int]) -> int:
    """How many of the numbers there was a record of."""
    owners = {who: number for number in numbers for who in pseudonyms.all_of(str(number))}
    known: set[int] = set()
    places = list(owners)
    for _ in range(MAX_ATTEMPTS):
        found = zip(places, store.read(places), strict=True)
        updates = [Update(who, record, None) for who, record in found if record is not None]
        known |= {owners[update.pseudonym] for update in updates}
        places = [updates[n].pseudonym for n in store.put(updates)]
        if not places:
            return len(known)
    raise StoreUnavailable(f"{store.nodes.name}: records change too fast to be written")
