"""The radio sites of the synthetic sample: where they stand, and the cells each carrier runs on them.

Invariant: every mainland city has sites, more where more people live, and every pair of neighbours has sites
on both sides of the border within a few kilometres, as real coverage has. Nothing here is a real network.
Called by the diaries of the sample's people.
"""

import math
from collections.abc import Iterator
from functools import cache
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from location_store.boundaries import Boundaries
from location_store.places import Places, place_id

NETWORKS: Final = {"china-mobile": 0, "china-unicom": 1, "china-telecom": 11}
"""Mobile network code (of country code 460) by carrier."""

# longitude, latitude, inhabitants in millions: round figures, only to put masts where people are many
BIG_CITIES: Final = {
    "110000": (116.40, 39.90, 22.0),
    "120000": (117.20, 39.13, 14.0),
    "130100": (114.51, 38.04, 11.0),
    "140100": (112.55, 37.87, 5.0),
    "150100": (111.75, 40.84, 3.5),
    "210100": (123.43, 41.80, 9.0),
    "210200": (121.61, 38.91, 7.5),
    "220100": (125.32, 43.82, 9.0),
    "230100": (126.64, 45.76, 10.0),
    "310000": (121.47, 31.23, 25.0),
    "320100": (118.80, 32.06, 9.5),
    "320200": (120.31, 31.49, 7.5),
    "320500": (120.62, 31.30, 13.0),
    "330100": (120.16, 30.27, 12.0),
    "330200": (121.55, 29.87, 9.5),
    "340100": (117.23, 31.82, 9.5),
    "350100": (119.30, 26.08, 8.5),
    "350200": (118.09, 24.48, 5.0),
    "360100": (115.86, 28.68, 6.5),
    "370100": (117.12, 36.65, 9.5),
    "370200": (120.38, 36.07, 10.0),
    "410100": (113.65, 34.76, 13.0),
    "420100": (114.30, 30.59, 13.0),
    "430100": (112.94, 28.23, 10.5),
    "440100": (113.26, 23.13, 19.0),
    "440300": (114.06, 22.54, 17.5),
    "440600": (113.12, 23.02, 9.5),
    "441900": (113.75, 23.02, 10.5),
    "450100": (108.37, 22.82, 9.0),
    "460100": (110.35, 20.02, 3.0),
    "460200": (109.51, 18.25, 1.0),
    "500000": (106.55, 29.56, 32.0),
    "510100": (104.07, 30.66, 21.0),
    "520100": (106.71, 26.65, 6.0),
    "530100": (102.83, 24.88, 8.5),
    "540100": (91.13, 29.65, 0.9),
    "610100": (108.94, 34.34, 13.0),
    "620100": (103.83, 36.06, 4.5),
    "630100": (101.78, 36.62, 2.5),
    "640100": (106.23, 38.49, 3.0),
    "650100": (87.62, 43.83, 4.0),
}
ABROAD: Final = {
    "810000": (454, 0),
    "820000": (455, 1),
    "710000": (466, 92),
    "JP": (440, 10),
    "KR": (450, 5),
    "TH": (520, 1),
    "SG": (525, 1),
    "MY": (502, 12),
    "US": (310, 410),
    "GB": (234, 30),
    "FR": (208, 1),
    "AU": (505, 1),
    "RU": (250, 1),
}
"""Country and network code of the network a roamer meets there."""

KM_PER_DEGREE: Final = 111.32
DECIMALS: Final = 6
"""Of a site's position, from the start: a border decides by what the file will say."""
STEP_S: Final = 300
"""On the way a phone is seen about once in so many seconds."""
_SITES = range(5, 31)
_TOWN_DEGREES = 0.12
_BORDER_OFFSETS_KM = (1.5, 4.0)

Floats = npt.NDArray[np.float64]


class Cell(NamedTuple):
    """What a phone reports: the network and the cell in it."""

    mcc: int
    mnc: int
    area: int
    cell: int


class Terrain:
    """Sites by index: `lon`, `lat` (degrees; nan abroad) and `place` (id)."""

    def __init__(self, places: Places, boundaries: Boundaries, rng: np.random.Generator) -> None:
        self.places = places
        self.people_millions: dict[int, float] = {}
        self._centre: dict[int, tuple[float, float]] = {}
        found = [*self._towns(boundaries, rng), *_borders(places, boundaries)]
        lon, lat, place = (np.array(column) for column in zip(*found, strict=True))
        self.domestic = len(found)
        self._tree = shapely.STRtree(shapely.points(lon, lat))
        roaming = [place_id(code) for code in ABROAD]
        self.lon = np.append(lon, np.full(len(roaming), np.nan))
        self.lat = np.append(lat, np.full(len(roaming), np.nan))
        self.place = np.append(place, roaming).astype(np.uint16)
        self._of_place: dict[int, list[int]] = {}
        for site, where in enumerate(self.place.tolist()):
            self._of_place.setdefault(where, []).append(site)
        self.route = cache(self._route)
        self.border = cache(self._border)

    def sites_of(self, place: int) -> list[int]:
        """The sites of a city or country."""
        return self._of_place[place]

    def distance_km(self, a: int, b: int) -> float:
        """Between the centres of two mainland cities, as the crow flies."""
        (lon_a, lat_a), (lon_b, lat_b) = self._centre[a], self._centre[b]
        width = (lon_b - lon_a) * math.cos(math.radians((lat_a + lat_b) / 2))
        return KM_PER_DEGREE * math.hypot(width, lat_b - lat_a)

    def cell(self, site: int, carrier: str) -> Cell:
        """The cell that a subscriber of `carrier` meets at a site; 5G areas have 24 bits and cells 36."""
        if site >= self.domestic:
            mcc, mnc = ABROAD[self.places.by_id(int(self.place[site])).code]
            return Cell(mcc, mnc, 100, 1000 + site)
        area = int(self.place[site])
        if is_5g(site):
            return Cell(460, NETWORKS[carrier], 0x100000 + area, (400_000 + site) << 14 | 1)
        return Cell(460, NETWORKS[carrier], area, (20_000 + site) << 8 | 1)

    def _route(self, a: int, b: int, speed_kmh: int) -> list[int]:
        """The sites met on the straight way from one city's centre to another's, one every STEP_S."""
        steps = max(2, math.ceil(self.distance_km(a, b) / speed_kmh * 3600 / STEP_S))
        along = np.linspace(np.array(self._centre[a]), np.array(self._centre[b]), steps)
        return [int(site) for site in self._tree.nearest(shapely.points(along))]

    def _border(self, a: int, b: int) -> tuple[list[int], list[int]]:
        """The three sites of each of two neighbours that stand closest to the other's."""
        sites_a, sites_b = self._of_place[a], self._of_place[b]
        width = (self.lon[sites_a][:, None] - self.lon[sites_b]) * np.cos(np.radians(self.lat[sites_a][0]))
        distance = np.hypot(width, self.lat[sites_a][:, None] - self.lat[sites_b])
        nearest_a = np.argsort(distance.min(axis=1), kind="stable")[:3]
        nearest_b = np.argsort(distance.min(axis=0), kind="stable")[:3]
        return [sites_a[i] for i in nearest_a], [sites_b[i] for i in nearest_b]

    def _towns(self, boundaries: Boundaries, rng: np.random.Generator) -> Iterator[tuple[float, float, int]]:
        """Sites of each mainland city: half of them in town, the others anywhere in it."""
        for place, polygon in zip(boundaries.place_ids.tolist(), boundaries.polygons, strict=True):
            code = self.places.by_id(place).code
            if code in ABROAD:
                continue
            anywhere = shapely.get_coordinates(shapely.point_on_surface(polygon))[0]
            lon, lat, millions = BIG_CITIES.get(code, (*anywhere, _guess_millions(code, polygon)))
            self.people_millions[place] = millions
            self._centre[place] = (lon, lat)
            wanted = min(max(4 + int(millions), _SITES.start), _SITES.stop)
            west, south, east, north = shapely.bounds(polygon)
            points = np.concatenate(
                [
                    [(lon, lat), tuple(anywhere)],
                    rng.normal((lon, lat), _TOWN_DEGREES, (2 * wanted, 2)),
                    rng.uniform((west, south), (east, north), (6 * wanted, 2)),
                ]
            )
            points = np.round(points, DECIMALS)
            inside = points[boundaries.locate(points[:, 0], points[:, 1]) == place]
            chosen = np.concatenate([inside[: wanted // 2], inside[wanted // 2 :][-(wanted - wanted // 2) :]])
            yield from ((float(x), float(y), place) for x, y in chosen)


def is_5g(site: int) -> bool:
    """Whether the site's cells are NR, not LTE."""
    return site % 5 == 0


def _guess_millions(code: str, polygon: shapely.Geometry) -> float:
    if code[2:4] == "90":
        return 0.4
    return 2.5 if shapely.area(polygon) < 4 else 0.8  # square degrees: the wide units are the empty ones


def _borders(places: Places, boundaries: Boundaries) -> list[tuple[float, float, int]]:
    """A site on each side of the border of every two mainland neighbours, where a vertex is shared."""
    pairs = _shared_vertices(boundaries)
    pairs = {
        pair: vertex
        for pair, vertex in pairs.items()
        if not any(places.by_id(place).code in ABROAD for place in pair)
    }
    angles = np.arange(8) * math.tau / 8
    offsets = np.concatenate(
        [km / KM_PER_DEGREE * np.column_stack([np.cos(angles), np.sin(angles)]) for km in _BORDER_OFFSETS_KM]
    )
    around = np.round(np.array(list(pairs.values()))[:, None, :] + offsets, DECIMALS)
    located = boundaries.locate(around[..., 0].ravel(), around[..., 1].ravel()).reshape(around.shape[:2])
    sites = []
    for pair, candidates, found in zip(pairs, around, located, strict=True):
        for place in pair:
            inside = np.flatnonzero(found == place)
            if len(inside):
                lon, lat = candidates[inside[0]].tolist()
                sites.append((lon, lat, place))
    return sites


def _shared_vertices(boundaries: Boundaries) -> dict[tuple[int, int], tuple[float, float]]:
    """For every two places whose boundaries share vertices, the middle one of these."""
    points, owner = shapely.get_coordinates(boundaries.polygons, return_index=True)
    grid = np.round(points * 1e7).astype(np.int64)
    order = np.lexsort((owner, grid[:, 1], grid[:, 0]))
    grid, owner, points = grid[order], owner[order], points[order]
    shared = np.flatnonzero((grid[1:] == grid[:-1]).all(axis=1) & (owner[1:] != owner[:-1]))
    vertices: dict[tuple[int, int], list[int]] = {}
    ids = boundaries.place_ids.tolist()
    for i in shared.tolist():
        vertices.setdefault((ids[owner[i]], ids[owner[i + 1]]), []).append(i)
    return {
        pair: (float(points[middle, 0]), float(points[middle, 1]))
        for pair, indexes in sorted(vertices.items())
        for middle in [indexes[len(indexes) // 2]]
    }
