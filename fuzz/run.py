"""`python -m fuzz.run TARGET FOLDER [options of libFuzzer]`: coverage-guided fuzzing of one target.

It begins with what is in FOLDER and in the kept corpus; new inputs and crashes go into FOLDER. With a file
in its place that input alone is run. Called by `python -m fuzz`.
"""

import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gateway.smpp", "gateway.sms"]):
    from fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    name, found, *options = sys.argv[1:]
    inputs = [found, str(CORPUS / name)] if Path(found).is_dir() else [found]
    defaults = ["-max_len=1024", "-timeout=10", "-rss_limit_mb=1024", f"-artifact_prefix={found}/"]
    atheris.Setup([sys.argv[0], *defaults, *options, *inputs], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
