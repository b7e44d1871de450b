"""Where the people of the evaluation live: the sample's sites, and more of them on shores and in enclaves.

Invariant: every site is in the city that the boundaries say, those on a shore stand on its line. Called by
`populations`.
"""

import random
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import shapely

from location_store.boundaries import Boundaries
from location_store.places import Places, place_id
from location_store.sample.terrain import BIG_CITIES, DECIMALS, KM_PER_DEGREE, Terrain

ACROSS_KM = 25.0
"""So far a phone on the shore may hear the other side of a bay."""
_ENCLAVE_DEGREES2 = 1e-4  # about one square kilometre: less is a slip of the map
_SURROUNDED = 0.95  # of an enclave's boundary is another city's

Floats = npt.NDArray[np.float64]


class Sides(NamedTuple):
    """Two places, and the sites of each that may be heard from about where they meet."""

    home: int
    there: int
    home_sites: tuple[int, ...]
    there_sites: tuple[int, ...]


class Ground:
    """Sites by index (`lon`, `lat` in degrees, nan abroad; `place` id) and where people are told to live.

    borders: every two neighbours of China, each way; mainland: those with home there. shores: two cities that
    water parts, each way. enclaves: home lies within `there`. islands: no neighbour on land, or Hainan.
    """

    def __init__(self, seed: int) -> None:
        self.places = Places.load()
        boundaries = Boundaries.load()
        self.boundaries = boundaries
        self.terrain = Terrain(self.places, boundaries, np.random.default_rng(seed))
        self._points = [*zip(self.terrain.lon.tolist(), self.terrain.lat.tolist(), strict=True)]
        self._place: list[int] = self.terrain.place.tolist()
        known = set(self._place)
        pairs = [
            (city.id, there)
            for city in self.places.cities()
            for there in sorted(self.places.neighbours_of(city.id))
        ]
        self.borders = [
            Sides(a, b, *map(tuple, self.terrain.border(a, b))) for a, b in pairs if {a, b} <= known
        ]
        self.mainland = [sides for sides in self.borders if sides.home in self.terrain.people_millions]
        self.shores = list(self._shores(boundaries))
        self.enclaves = list(self._enclaves(boundaries))
        self.homes = sorted(self.terrain.people_millions)
        self.weights = [self.terrain.people_millions[home] for home in self.homes]
        self.islands = [home for home in self.homes if self._is_island(home)]
        self.lon, self.lat = np.array(self._points).T
        self.place = np.array(self._place, np.uint16)

    def big_city(self, rng: random.Random, besides: int) -> int:
        """One of the big cities, but not this one."""
        return rng.choice([city for city in _BIG if city != besides])

    def _is_island(self, home: int) -> bool:
        return not self.places.neighbours_of(home) or self.places.by_id(home).province_zh == "海南省"

    def _site(self, lon: float, lat: float, place: int) -> int:
        self._points.append((round(lon, DECIMALS), round(lat, DECIMALS)))
        self._place.append(place)
        return len(self._place) - 1

    def _shores(self, boundaries: Boundaries) -> list[Sides]:
        """Cities that are no neighbours, with nothing but water between them."""
        shapes, ids = boundaries.polygons, boundaries.place_ids.tolist()
        near = shapely.STRtree(shapes).query(shapes, predicate="dwithin", distance=ACROSS_KM / KM_PER_DEGREE)
        found = []
        for a, b in near.T.tolist():
            if a == b or self.places.neighbours(ids[a], ids[b]):
                continue
            line = shapely.shortest_line(shapes[a], shapes[b])
            middle = shapely.line_interpolate_point(line, 0.5, normalized=True)
            if any(shapely.contains_xy(shapes, middle.x, middle.y)):
                continue
            (lon_a, lat_a), (lon_b, lat_b) = line.coords
            ends = self._site(lon_a, lat_a, ids[a]), self._site(lon_b, lat_b, ids[b])
            found.append(Sides(ids[a], ids[b], (ends[0],), (ends[1],)))
        return found

    def _enclaves(self, boundaries: Boundaries) -> list[Sides]:
        """Parts of a city that lie within another one, and this one's ground around them."""
        shapes, ids = boundaries.polygons, boundaries.place_ids.tolist()
        tree = shapely.STRtree(shapes)
        found = []
        for index, shape in enumerate(shapes):
            for part in sorted(shapely.get_parts(shape), key=shapely.area)[:-1]:
                if part.area < _ENCLAVE_DEGREES2:
                    continue
                edge = shapely.boundary(part)
                for other in tree.query(part, predicate="intersects").tolist():
                    shared = shapely.intersection(edge, shapely.boundary(shapes[other]))
                    if other == index or shared.length < _SURROUNDED * edge.length:
                        continue
                    inside = shapely.point_on_surface(part)
                    around = shapely.intersection(shapes[other], part.buffer(0.03))
                    outside = shapely.point_on_surface(around)
                    home_site = self._site(inside.x, inside.y, ids[index])
                    there_site = self._site(outside.x, outside.y, ids[other])
                    found.append(Sides(ids[index], ids[other], (home_site,), (there_site,)))
        return found


_BIG = [place_id(code) for code in BIG_CITIES]
