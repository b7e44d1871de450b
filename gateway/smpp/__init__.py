"""SMPP 3.4, pure: bytes to PDUs (`codec`, `framing`), and what both ends of a connection do (`session`)."""
