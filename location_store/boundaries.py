"""Which city a point lies in, by the boundaries of the prefecture-level units.

Invariant: a point gets one city or none; a point outside every boundary belongs to the nearest one within
10 km, since masts stand on islets, piers and beyond a simplified border. Called by the cell table's import.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely

from location_store.errors import BadInput
from location_store.places import place_id
from location_store.shipped import config_dir

OFFSHORE_KM = 10.0
_KM_PER_DEGREE = 111.32

Floats = npt.NDArray[np.float64]


class Boundaries:
    """The polygons of the cities, indexed. Coordinates are degrees of longitude and latitude."""

    def __init__(self, place_ids: npt.NDArray[np.uint16], polygons: Sequence[shapely.Geometry]) -> None:
        self.place_ids = place_ids
        self.polygons = np.array(polygons, dtype=object)
        shapely.prepare(self.polygons)
        self._tree = shapely.STRtree(self.polygons)

    @classmethod
    def load(cls, path: Path | None = None) -> "Boundaries":
        """Read a TopoJSON file (default: the shipped one). Raises BadInput when it cannot be read."""
        path = path or config_dir() / "places" / "cn-atlas.topojson"
        try:
            topology = json.loads(path.read_bytes())
            arcs = _decode_arcs(topology)
            geometries = topology["objects"]["prefectures"]["geometries"]
            ids = np.array([place_id(geometry["properties"]["id"]) for geometry in geometries], np.uint16)
            return cls(ids, [_shape(geometry, arcs) for geometry in geometries])
        except (OSError, ValueError, LookupError, TypeError, shapely.errors.ShapelyError) as error:
            raise BadInput(f"{path}: the boundaries cannot be read: {error}") from error

    def locate(self, lon: Floats, lat: Floats) -> npt.NDArray[np.uint16]:
        """The place id for each point, 0 for points more than 10 km outside every boundary."""
        index = np.full(len(lon), -1, np.int64)
        points = shapely.points(lon, lat)
        candidate_point, candidate_polygon = self._tree.query(points)
        order = np.argsort(candidate_polygon, kind="stable")
        polygons, starts = np.unique(candidate_polygon[order], return_index=True)
        for polygon, members in zip(polygons, np.split(candidate_point[order], starts)[1:], strict=True):
            inside = shapely.contains_xy(self.polygons[polygon], lon[members], lat[members])
            index[members[inside]] = polygon
        outside = np.flatnonzero(index < 0)
        if len(outside):
            index[outside] = self._nearest(points[outside], lat[outside])
        return np.where(index < 0, np.uint16(0), self.place_ids[index])

    def _nearest(self, points: npt.NDArray[np.object_], lat: Floats) -> npt.NDArray[np.int64]:
        """The index of the nearest polygon within OFFSHORE_KM of each point, -1 for none."""
        found = np.full(len(points), -1, np.int64)
        near = np.flatnonzero(np.abs(lat) < 60)  # beyond, a degree of longitude is too short for this reach
        reach_degrees = OFFSHORE_KM / _KM_PER_DEGREE / np.cos(np.radians(60))
        member, polygon = self._tree.query(points[near], predicate="dwithin", distance=reach_degrees)
        if not len(member):
            return found
        member = near[member]
        ends = shapely.get_coordinates(shapely.shortest_line(points[member], self.polygons[polygon]))
        step = ends[1::2] - ends[::2]
        distance_km = _KM_PER_DEGREE * np.hypot(step[:, 0] * np.cos(np.radians(lat[member])), step[:, 1])
        farthest_first = np.argsort(-distance_km, kind="stable")  # the nearest is written last and stays
        farthest_first = farthest_first[distance_km[farthest_first] <= OFFSHORE_KM]
        found[member[farthest_first]] = polygon[farthest_first]
        return found


def _decode_arcs(topology: dict[str, Any]) -> list[Floats]:
    """Absolute coordinates of every arc: quantised arcs are delta-encoded integers (TopoJSON 1.0, 2.1.3)."""
    scale = np.array(topology["transform"]["scale"])
    translate = np.array(topology["transform"]["translate"])
    return [np.cumsum(np.array(arc), axis=0) * scale + translate for arc in topology["arcs"]]


def _ring(indexes: list[int], arcs: list[Floats]) -> Floats:
    """One closed ring. A negative index ~i is arc i reversed; successive arcs share their joint (2.1.4)."""
    parts = [arcs[i] if i >= 0 else arcs[~i][::-1] for i in indexes]
    return np.concatenate([parts[0], *(part[1:] for part in parts[1:])])


def _shape(geometry: dict[str, Any], arcs: list[Floats]) -> shapely.Geometry:
    many = [geometry["arcs"]] if geometry["type"] == "Polygon" else geometry["arcs"]
    shape = shapely.MultiPolygon(
        [(_ring(rings[0], arcs), [_ring(hole, arcs) for hole in rings[1:]]) for rings in many]
    )
    return shape if shapely.is_valid(shape) else shapely.make_valid(shape)
