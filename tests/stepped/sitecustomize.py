"""Python's wall clock, set by a test: with this folder on the PYTHONPATH `time.time` is ahead of the host's
by as many seconds as stand in the file that CXMYD_TEST_CLOCK names.
"""

import os
import time
from pathlib import Path

_file = os.environ.get("CXMYD_TEST_CLOCK")
if _file:
    _path, _host = Path(_file), time.time
    time.time = lambda: _host() + float(_path.read_text() or 0)
