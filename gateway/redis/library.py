"""The text of the gateway's function library and the names of its functions, versioned by its digest."""

import hashlib
from pathlib import Path

_TEXT = (Path(__file__).parent / "functions.lua").read_text(encoding="utf-8")
VERSION = hashlib.blake2b(_TEXT.encode(), digest_size=4).hexdigest()
LIBRARY = _TEXT.replace("@V@", VERSION)


def function(name: str) -> str:
    """`begin` -> the name under which this version is registered."""
    return f"cxmyd_{name}_{VERSION}"
