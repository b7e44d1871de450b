"""`python -m fuzz.keep [FOLDER]`: takes into the kept corpus what runs code that nothing in it runs yet.

The smallest inputs first, each only if it makes a step from line to line that none before it made: so the
corpus stays small enough for every test run. FOLDER is that of `python -m fuzz` (var/fuzz).
"""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from fuzz.__main__ import FOUND
from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
Step = tuple[str, int, int]


def steps(target: Callable[[bytes], None], data: bytes) -> set[Step]:
    """From which line to which, in the code under test."""
    made: set[Step] = set()

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        file = frame.f_code.co_filename
        if "/gateway/s" not in file:
            return None
        before = 0

        def line(frame: FrameType, event: str, _argument: Any) -> Any:
            nonlocal before
            if event == "line":
                made.add((file, before, frame.f_lineno))
                before = frame.f_lineno
            return line

        return line

    sys.settrace(call)
    try:
        target(data)
    finally:
        sys.settrace(None)
    return made


def main() -> None:
    found = Path(sys.argv[1]) if len(sys.argv) > 1 else FOUND
    for name, target in TARGETS.items():
        kept = CORPUS / name
        known: set[Step] = set()
        for path in sorted(kept.iterdir()):
            known |= steps(target, path.read_bytes())
        taken = 0
        files = [path for path in (found / name).glob("*") if "-" not in path.name]  # crashes have a dash
        for path in sorted(files, key=lambda path: (path.stat().st_size, path.name)):
            data = path.read_bytes()
            new = steps(target, data) - known
            if new:
                known |= new
                taken += 1
                (kept / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
        print(f"{name}: {taken} taken, {len(list(kept.iterdir()))} kept, {len(known)} steps")


if __name__ == "__main__":
    main()
