"""Pydantic's findings, put as an operator wants to read them: key, value, mend.

Invariant: no secret is shown, whatever the mistake. Pure; called by `gateway.config.loading`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config.models import TABLES
from gateway.errors import Problem, printable

Location = tuple[int | str, ...]
_SECRET_KEYS = frozenset({"password", "key_password"})
_SHOWN_LENGTH = 60
_INPUT = re.compile(r"^(Input|String|Value|Tuple) should")


def of_validation(
    error: ValidationError, document: Mapping[str, Any], table: str = "", file: Path | None = None
) -> list[Problem]:
    """One problem for each finding in `document`, which is the table `table` of `TABLES`."""
    problems = []
    for finding in error.errors(include_url=False):
        value = _value_at(document, finding["loc"])
        mend = _mend(finding, value, table)
        problems.append(Problem(key_path(finding["loc"]), shown(finding["loc"], value), mend, file))
    return problems


def key_path(location: Location) -> str:
    """`("smsc", 0, "port")` as `smsc[0].port`."""
    path = ""
    for step in location:
        path += f"[{step}]" if isinstance(step, int) else f".{printable(step)}" if path else printable(step)
    return path


def shown(location: Location, value: Any) -> str:
    """The value as it stands in the file, unless it is a secret or not there; of a table that it is one."""
    if value is None:
        return ""
    if isinstance(value, (dict, list)):
        return ("{ … }" if value else "{}") if isinstance(value, dict) else ("[ … ]" if value else "[]")
    key = next((step for step in reversed(location) if isinstance(step, str)), "")
    if key in _SECRET_KEYS:
        return "(secret)"
    text = json.dumps(value, ensure_ascii=False, default=str)
    if "://" in text and "@" in text:
        text = f'"(secret)@{text.rpartition("@")[2]}'
    return printable(text if len(text) <= _SHOWN_LENGTH else f"{text[:_SHOWN_LENGTH]}…")


def suggestion(word: str, known: Sequence[str]) -> str:
    """`; did you mean …?`, or nothing when no known word is near."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _value_at(document: Any, location: Location) -> Any:
    for step in location:
        try:
            document = document[step]
        except (KeyError, IndexError, TypeError):
            return None
    return document


def _mend(finding: ErrorDetails, value: Any, table: str) -> str:
    key = str(finding["loc"][-1]) if finding["loc"] else ""
    match finding["type"]:
        case "value_error":
            mend = str(finding["ctx"]["error"])
        case "missing":
            mend = f"missing; add `{key} = …`"
        case "extra_forbidden":
            mend = _unknown(finding["loc"], value, table)
        case "model_type" | "dict_type":
            mend = f"must be a table, [{key}]"
        case "tuple_type" if isinstance(value, dict):
            mend = f"must be a list of tables, each written [[{key}]]"
        case "tuple_type":
            mend = "must be a list, [ … ]"
        case "string_type" if isinstance(value, (int, float)):
            mend = f'must be a string, "{value}"'
        case "int_type" | "float_type" if isinstance(value, str):
            mend = "must be a number, without quotes"
        case "literal_error" if isinstance(value, str):
            expected = finding["ctx"]["expected"]
            mend = f"must be {expected}{suggestion(value, expected.replace(' or ', ', ').split(', '))}"
        case _:
            mend = _INPUT.sub("must", finding["msg"])
    return mend


def _unknown(location: Location, value: Any, table: str) -> str:
    """What was probably meant by an unknown key, one of this table or of another; else what there is."""
    names = [str(step) for step in location if isinstance(step, str)]
    key = names.pop()
    parent = ".".join([table, *names] if table else names)
    here = TABLES[parent].model_fields
    what = "unknown table" if isinstance(value, (dict, list)) else "unknown key"
    if near := suggestion(key, list(here)):
        return what + near
    if not table:
        for path, section in TABLES.items():
            if key in section.model_fields:
                where = f"did you mean {key} of [{path}]?" if path else f"{key} stands at the top of the file"
                return f"{what}; {where}"
    return f"{what}: remove it; {f'[{parent}]' if parent else 'the file'} takes {', '.join(here)}"
