"""The same traces by trackintel's stay detection.

trackintel has dependencies of its own (geopandas, scikit-learn, ...), so it runs in another Python: it is
given sightings with the coordinates of their sites as a file and gives back staypoints. Called by `evaluate`.
"""

import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import polars as pl

from bench.stays.ground import Ground
from bench.stays.heard import CHINA, FIRST_S, WINDOW, Heard, sightings, timelines
from bench.stays.populations import KINDS, Trace, people
from bench.stays.score import Known, Score, judge, known
from location_store.stays import StayRules, visited

PEOPLE = 40
HOURS = 4.0
REACHES_M = (5_000, 30_000)
"""How far apart the sightings of a staypoint may lie: a large town, a large city."""
COLUMNS = [
    "kind",
    *(
        f"{what}, {who}"
        for who in ("ours", "trackintel 5 km", "trackintel 30 km")
        for what in ("found", "false")
    ),
]
SCRIPT = Path(__file__).with_name("trackintel_staypoints.py")


def compared(ground: Ground, python: Path, seed: int) -> list[list[str]]:
    """A row a kind: found and false in percent, ours and trackintel's for each reach."""
    persons: list[Known] = []
    fixes: list[pl.DataFrame] = []
    for kind in KINDS:
        told = people(ground, kind, PEOPLE, seed)
        heard = sightings(told, np.random.default_rng(seed))
        fixes.append(_fixes(told, heard, ground, first_user=len(persons)))
        persons += known(told, timelines(heard, ground, len(told)))
    contenders = [
        _ours(persons, ground),
        *(_staypoints(pl.concat(fixes), reach, python) for reach in REACHES_M),
    ]
    out = []
    for number, kind in enumerate(KINDS):
        row = [kind.name]
        for named in contenders:
            total = Score(0, 0, 0, 0)
            for user in range(number * PEOPLE, (number + 1) * PEOPLE):
                total += judge(persons[user], named[user], HOURS)
            row += [total.found_share, total.false_share]
        out.append(row)
    return out


def _ours(persons: list[Known], ground: Ground) -> dict[int, set[int]]:
    rules = StayRules(HOURS)
    return {
        user: {
            visit.place
            for visit in visited(person.timeline, rules, ground.places.neighbours, WINDOW, None, CHINA).visits
        }
        for user, person in enumerate(persons)
    }


def _fixes(told: list[Trace], heard: Heard, ground: Ground, first_user: int) -> pl.DataFrame:
    """Position fixes in the window; every spot of a person has one site, since distance decides here."""
    site = heard.site.copy()
    for user, trace in enumerate(told):
        spot: dict[int, int] = {}
        for leg in trace.legs:
            for each in leg.sites:
                spot.setdefault(each, leg.sites[0])
        mine = np.flatnonzero(heard.owner == user)
        site[mine] = [spot[each] for each in site[mine].tolist()]
    frame = pl.DataFrame(
        {
            "user_id": heard.owner + first_user,
            "time_s": heard.time_s.astype(np.int64) + FIRST_S,
            "lon": ground.lon[site],
            "lat": ground.lat[site],
            "place": ground.place[site].astype(np.int64),
        }
    )
    inside = pl.col("time_s").is_between(60 * WINDOW.start_min, 60 * WINDOW.end_min, closed="left")
    return frame.filter(inside, pl.col("lon").is_not_nan()).sort("user_id", "time_s")


def _staypoints(fixes: pl.DataFrame, reach_m: int, python: Path) -> dict[int, set[int]]:
    """Of each person the cities of his staypoints, by trackintel in its own Python.

    A staypoint is in the city of most of its fixes. Its centre would be that of its distinct positions, which
    at a border lies between two masts, on either side.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "fixes.csv", Path(folder) / "staypoints.csv"
        fixes.write_csv(source)
        subprocess.run([python, SCRIPT, source, target, str(reach_m), str(60 * HOURS)], check=True)
        found = pl.read_csv(target)
    named: dict[int, set[int]] = defaultdict(set)
    of_user = {user: rows for (user,), rows in fixes.partition_by("user_id", as_dict=True).items()}
    for user, started_s, finished_s in found.rows():
        rows = of_user[user]
        within = rows.filter(pl.col("time_s").is_between(started_s, finished_s, closed="left"))
        named[user].add(within["place"].mode()[0])
    return named
