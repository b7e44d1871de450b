"""Secrets that a configuration keeps in files of their own: `password_file`, `url_file` and the like.

Invariant: runs before validation, so that a secret from a file meets the same rules as one in the
configuration. Called by `gateway.config.loading`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.config.problems import Location, key_path, shown
from gateway.config.toml import links
from gateway.errors import Problem

_SECRETS = ("password", "key_password", "url")


def fill_in(document: dict[str, Any], base: Path) -> list[Problem]:
    """Put the content of each `*_file` into the key it stands for, in `document`; returns the mistakes."""
    problems = []
    for location, table in _tables(document):
        for secret in _SECRETS:
            name = table.get(f"{secret}_file")
            if not isinstance(name, str) or not name:
                continue  # absent, or a mistake that validation names
            here = (*location, f"{secret}_file")
            if secret in table:
                problems.append(_problem(here, name, f"stands beside {secret}: keep one of the two"))
                continue
            try:
                table[secret] = (base / Path(name).expanduser()).read_text("utf-8").strip("\r\n")
            except OSError as error:
                problems.append(_problem(here, name, f"cannot be read: {error.strerror}"))
            except UnicodeDecodeError:
                problems.append(_problem(here, name, "is not UTF-8 text"))
    return problems


def url_with_password(url: str, password: str) -> str:
    """The Redis URL with `password` in its authority part. Raises ValueError when the URL has one already."""
    scheme, _, rest = url.partition("://")
    if not password or not rest:
        return url
    user, at, host = rest.rpartition("@")
    if ":" in user:
        raise ValueError("the url has a password already: keep one of the two")
    return f"{scheme}://{user}:{quote(password, safe='')}@{host if at else rest}"


def _tables(document: dict[str, Any]) -> Iterator[tuple[Location, dict[str, Any]]]:
    """The tables that may hold a secret, with where they stand."""
    if isinstance(document.get("redis"), dict):
        yield ("redis",), document["redis"]
    ingest = document.get("ingest")
    if isinstance(ingest, dict) and isinstance(ingest.get("kafka"), dict):
        yield ("ingest", "kafka"), ingest["kafka"]
    yield from links(document)


def _problem(location: Location, value: str, mend: str) -> Problem:
    return Problem(key_path(location), shown(location, value), mend)
