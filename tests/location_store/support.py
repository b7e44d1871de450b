"""What the tests of the store share: a small world of cells, a store with its keys, files of sightings."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from location_store.cells import CellTable, rows_of
from location_store.ingest import Ingester, Settings
from location_store.keys import Key, KeyFile
from location_store.places import Places
from location_store.pseudonyms import Layout, Pseudonyms
from location_store.record import timeline, unpack
from location_store.stays import Point, Stay
from location_store.store import Store
from location_store.window import window
from tests.location_store.histories import stays_of

CHINA = ZoneInfo("Asia/Shanghai")
LAYOUT = Layout(partitions=8, buckets=2)
PLACES = Places.load()
CITIES = [1100, 1200, 3100, 4403]
"""Beijing, Tianjin, Shanghai, Shenzhen; the city of cell n is CITIES[n - 1], area 1, network 460-00."""


def names_of(layout: Layout, *key_ids: str) -> Pseudonyms:
    """Pseudonyms of this layout under keys of these ids, newest first."""
    keys = (Key(key_id, "", key_id.encode().ljust(32)) for key_id in key_ids or ("k1",))
    return Pseudonyms(KeyFile(tuple(keys)), layout)


def china_s(text: str) -> float:
    """Unix seconds of a local time in China."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA).timestamp()


def cell_table() -> CellTable:
    cells = np.arange(1, len(CITIES) + 1)
    same = np.ones_like(cells)
    return CellTable(rows_of(460 * same, 0 * same, same, cells, np.array(CITIES, np.uint16)))


class World:
    """A store with its keys at one moment; the window is the 14 days before it."""

    def __init__(self, redis_url: str, folder: Path, now_s: float) -> None:
        key_file = folder / "keys.json"
        keys = KeyFile.load(key_file) if key_file.exists() else KeyFile.create(key_file)
        self.folder = folder
        self.now_s = now_s
        self.pseudonyms = Pseudonyms(keys, LAYOUT)
        self.store = Store.connect(redis_url, self.pseudonyms)
        start_min = window(now_s, days=14, through="yesterday", tz=CHINA).start_min
        self.settings = Settings(now_s=now_s, keep_from_min=start_min)

    def ingester(self, cells: CellTable | None = None) -> Ingester:
        return Ingester(
            self.store,
            cell_table() if cells is None else cells,
            PLACES,
            self.pseudonyms,
            self.settings,
            clock=lambda: self.now_s,
        )

    def stays(self, msisdn: str) -> list[Stay]:
        """What the store holds of a number."""
        (blob,) = self.store.read([self.pseudonyms.of(msisdn)])
        return stays_of(timeline(unpack(blob).history))

    def histories(self, msisdns: Iterable[str]) -> dict[str, list[Stay]]:
        return {msisdn: self.stays(msisdn) for msisdn in msisdns}


def write_csv(path: Path, sightings: Sequence[tuple[str, Point]]) -> Path:
    """Sightings of (msisdn, point) as `cxmyd ingest` takes them."""
    lines = [
        f"{60 * point.minute},{msisdn},460,0,1,{CITIES.index(point.place) + 1}\n"
        for msisdn, point in sightings
    ]
    path.write_text("time,msisdn,mcc,mnc,area,cell\n" + "".join(lines))
    return path
