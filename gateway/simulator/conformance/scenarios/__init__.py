"""The scenarios by group; every module here is loaded by `scenario.load`."""
