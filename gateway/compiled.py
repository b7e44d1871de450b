"""Whether the modules of the hot path run compiled (docs/compiled.md). Called by whoever tells operators."""

from typing import Final

COMPILED: Final[bool] = not __file__.endswith(".py")
