"""`python -m bench.stages.sampled OUT FORMAT COMMAND…`: run a command with py-spy beside it for some seconds.

A SIGTERM is the command's. Called by `run`, in the place of the gateway.
"""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

#: From the start until the load is under way, and of sampling.
LATER_S: Final = 3.0
SAMPLED_S: Final = 3
PER_S: Final = 500


def main(out: str, form: str, *command: str) -> int:
    py_spy = str(Path(sys.executable).with_name("py-spy"))
    with subprocess.Popen(command) as gateway:
        signal.signal(signal.SIGTERM, lambda _number, _frame: gateway.terminate())
        time.sleep(LATER_S)
        words = [
            "record",
            "--format",
            form,
            "--output",
            out,
            "--rate",
            str(PER_S),
            "--duration",
            str(SAMPLED_S),
        ]
        subprocess.run(
            [py_spy, *words, "--pid", str(gateway.pid)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return gateway.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
