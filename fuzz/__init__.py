"""Fuzzing of what strangers' octets reach: codec, framing and session, texts. `make fuzz`."""
