"""The phones the page offers: a few telling subscribers of the sample, and the carriers they text to.

`phones.json`, as `cxmyd sample` writes it, is a list of objects with at least `msisdn`, or an object with
such a list under `phones`. The page also uses `carrier`, `number` (of the service), `id_last4`, `language`,
`story` and `expected` (the cities that the answer should name). Read once by `server`.
"""

import json
from pathlib import Path
from typing import Any

from gateway.errors import GatewayError

# The number each carrier is texted at, its name and its dialog: what the page needs to offer the right words.
CARRIERS: list[dict[str, str]] = [
    {
        "name": "china-mobile",
        "title": "China Mobile",
        "title_zh": "中国移动",
        "number": "10086",
        "dialog": "prompt-for-id",
    },
    {
        "name": "china-unicom",
        "title": "China Unicom",
        "title_zh": "中国联通",
        "number": "10010",
        "dialog": "id-inline",
    },
    {
        "name": "china-telecom",
        "title": "China Telecom",
        "title_zh": "中国电信",
        "number": "10001",
        "dialog": "id-inline-then-confirm",
    },
]


class PhonesError(GatewayError):
    """The file given with --phones cannot be used."""


def load(path: Path) -> list[dict[str, Any]]:
    """The phones of a file, as the page gets them. Raises PhonesError."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PhonesError(f"--phones {path}: {error.strerror}") from None
    except ValueError as error:
        raise PhonesError(f"--phones {path}: not JSON ({error})") from None
    phones = content.get("phones") if isinstance(content, dict) else content
    if not isinstance(phones, list) or not all(isinstance(p, dict) and "msisdn" in p for p in phones):
        raise PhonesError(f"--phones {path}: must be a list of objects, each with an msisdn")
    return [{**phone, "msisdn": str(phone["msisdn"])} for phone in phones]
