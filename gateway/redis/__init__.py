"""The adapters of the flow's ports to Redis: turns, parking, parts, and the operator's view of them."""
