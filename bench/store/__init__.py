"""Benches of the location store: `python -m bench.store.memory`, `.ingest`, `.query`; `make bench-store`."""

import os

# One core: our figures are those of one thread. Polars reads this when it is first imported.
os.environ["POLARS_MAX_THREADS"] = "1"
