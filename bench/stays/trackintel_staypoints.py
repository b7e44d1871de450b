"""Staypoints by trackintel, of position fixes in a file. Run by `traces`, in a Python that has trackintel.

Arguments: FIXES (user_id,time_s,lon,lat), STAYPOINTS (written: user_id,started_s,finished_s), the
reach in metres, the least duration in minutes.
"""

import sys
import warnings

import geopandas as gpd
import pandas as pd
from trackintel import Positionfixes

warnings.filterwarnings("ignore")
NEW_STAY_GAP_MIN = (
    720  # as in our rules; trackintel's own default of 15 min would leave an idle phone no stay
)


def main(source: str, target: str, reach_m: str, least_min: str) -> None:
    fixes = pd.read_csv(source)
    fixes["tracked_at"] = pd.to_datetime(fixes.pop("time_s"), unit="s", utc=True)
    points = gpd.points_from_xy(fixes.pop("lon"), fixes.pop("lat"), crs=4326)
    fixes = Positionfixes(gpd.GeoDataFrame(fixes, geometry=points))
    _, found = fixes.generate_staypoints(
        method="sliding",
        distance_metric="haversine",
        dist_threshold=float(reach_m),
        time_threshold=float(least_min),
        gap_threshold=NEW_STAY_GAP_MIN,
        include_last=True,
    )
    epoch = pd.Timestamp(0, tz="UTC")
    ends = {
        f"{end}_s": (found[f"{end}_at"] - epoch) // pd.Timedelta(seconds=1) for end in ("started", "finished")
    }
    pd.DataFrame({"user_id": found["user_id"], **ends}).to_csv(target, index=False)


main(*sys.argv[1:])
