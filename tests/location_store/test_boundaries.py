"""Points fall in the city whose boundary holds them."""

from pathlib import Path

import numpy as np
import pytest
import shapely

from location_store.boundaries import Boundaries
from location_store.errors import BadInput
from location_store.places import Places, place_id

KNOWN_POINTS = {
    "Beijing, Tiananmen": (116.3975, 39.9087, "110000"),
    "Shanghai, People's Square": (121.4737, 31.2304, "310000"),
    "Chongqing, Jiefangbei": (106.5770, 29.5570, "500000"),
    "Shenzhen, Futian": (114.0579, 22.5431, "440300"),
    "Chang'an, which is Dongguan's": (113.8000, 22.8100, "441900"),
    "Hong Kong, Kowloon": (114.1694, 22.3193, "810000"),
    "Macau": (113.5439, 22.1987, "820000"),
    "Taipei": (121.5654, 25.0330, "710000"),
    "Kunshan, which is Suzhou's": (120.9807, 31.3856, "320500"),
    "Yanjiao, which is Langfang's": (116.8160, 39.9510, "131000"),
    "Lhasa": (91.1322, 29.6604, "540100"),
    "Urumqi": (87.6168, 43.8256, "650100"),
    "Kashgar": (75.9900, 39.4700, "653100"),
    "Harbin": (126.6424, 45.7567, "230100"),
    "Sanya": (109.5119, 18.2528, "460200"),
    "Xiantao, a county run by its province": (113.4400, 30.3650, "429004"),
}


@pytest.fixture(scope="module")
def boundaries() -> Boundaries:
    return Boundaries.load()


@pytest.mark.parametrize("name", KNOWN_POINTS)
def test_known_points(boundaries: Boundaries, name: str) -> None:
    """Famous spots, some of them just across a border from the city one would guess."""
    lon, lat, code = KNOWN_POINTS[name]
    assert boundaries.locate(np.array([lon]), np.array([lat])).tolist() == [place_id(code)]


def test_offshore_masts_belong_to_the_nearest_city_within_10_km(boundaries: Boundaries) -> None:
    """5 km south of Sanya's beach is Sanya; the open sea, Tokyo, London and the pole are nowhere."""
    lon = np.array([109.45, 125.0, 139.7, -0.1, 10.0])
    lat = np.array([18.17, 27.0, 35.7, 51.5, 89.9])
    assert boundaries.locate(lon, lat).tolist() == [place_id("460200"), 0, 0, 0, 0]


def test_a_point_inside_every_polygon_is_found_and_many_at_once_equal_each_alone(
    boundaries: Boundaries,
) -> None:
    """Every city of the table has a polygon, and the order of the points makes no difference."""
    points = shapely.get_coordinates(shapely.point_on_surface(boundaries.polygons))
    found = boundaries.locate(points[:, 0], points[:, 1])
    assert found.tolist() == boundaries.place_ids.tolist()
    assert set(found.tolist()) == {city.id for city in Places.load().cities()}
    assert boundaries.locate(points[::-1, 0], points[::-1, 1]).tolist() == found[::-1].tolist()
    assert boundaries.locate(np.array([]), np.array([])).tolist() == []


def test_neighbours_of_the_table_touch_on_the_map(boundaries: Boundaries) -> None:
    """The table of neighbours and the polygons come from the same map: each pair meets."""
    places = Places.load()
    polygon_of = dict(zip(boundaries.place_ids.tolist(), boundaries.polygons, strict=True))
    pairs = [(a.id, b) for a in places.cities() for b in places.neighbours_of(a.id) if a.id < b]
    one, other = (np.array([polygon_of[pair[side]] for pair in pairs], dtype=object) for side in (0, 1))
    assert shapely.dwithin(one, other, 0.001).all()


def test_a_damaged_map_is_refused_by_name(tmp_path: Path) -> None:
    """Missing, not JSON, or not a topology: one line with the path."""
    for content in (None, b"{", b"[]", b'{"type": "Topology"}'):
        path = tmp_path / "map.topojson"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(BadInput, match=r"map\.topojson"):
            Boundaries.load(path)
