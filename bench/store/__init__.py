"""Benches of the location store: `python -m bench.store.memory`, `.ingest`, `.query`; `make bench-store`."""
