"""Reading a TOML file, with what can be wrong about the file itself. Called by `gateway.config`."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gateway.errors import ConfigError, Problem, printable


def read_toml(path: Path) -> dict[str, Any]:
    """The file's tables. Raises ConfigError, with line and column where the TOML is wrong."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig") + "\n")
    except FileNotFoundError:
        mend = "no such file; name one with -c FILE or CXMYD_CONFIG"
    except OSError as error:
        mend = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        mend = f"is not UTF-8 text (byte {error.start})"
    except tomllib.TOMLDecodeError as error:
        mend = f"is not valid TOML: {printable(str(error))}"
    raise ConfigError(path, [Problem("", "", mend)])


def tables(table: Mapping[str, Any], key: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The tables of the list at `key`, with their index; whatever else stands there is left to validation."""
    entries = table.get(key)
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        if isinstance(entry, dict):
            yield index, entry


def links(document: Mapping[str, Any]) -> Iterator[tuple[tuple[str | int, ...], dict[str, Any]]]:
    """The tables of all peers, `[[smsc]]` and the `clients` of `[[listen]]`, with where they stand."""
    for index, smsc in tables(document, "smsc"):
        yield ("smsc", index), smsc
    for index, listen in tables(document, "listen"):
        for place, client in tables(listen, "clients"):
            yield ("listen", index, "clients", place), client
