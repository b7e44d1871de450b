"""Benches of the feeds."""
