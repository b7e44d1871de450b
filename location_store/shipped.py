"""Where the configuration that ships with the project lies.

A checkout keeps it in `config/` beside the packages; a wheel carries the same tree as `gateway/_config`.
Called by whoever needs shipped data: places, boundaries, the carriers' profiles, the demo.
"""

from pathlib import Path

from location_store.errors import StoreError

_PACKAGES = Path(__file__).resolve().parent.parent
_CANDIDATES = (_PACKAGES / "gateway" / "_config", _PACKAGES / "config")


def config_dir() -> Path:
    """The shipped configuration directory. Raises StoreError when the installation lacks it."""
    for directory in _CANDIDATES:
        if (directory / "places" / "cn_prefectures.csv").is_file():
            return directory
    raise StoreError(f"the shipped configuration is missing beside {_PACKAGES}: install cxmyd again")
