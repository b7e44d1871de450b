"""C-octet strings (3.4, 3.1) as they are sent: strict. Used by `fields`, `codec` and `tlvs`."""

from gateway.smpp.errors import Unencodable


def write_c_octets(text: str, size: int) -> bytes:
    """`text` and its NUL, at most `size` octets in all."""
    if not text:
        return b"\0"
    try:
        octets = text.encode("latin-1")
    except UnicodeEncodeError:
        raise Unencodable("a C-octet string holds Latin-1 only") from None
    if len(octets) >= size or 0 in octets:
        raise Unencodable(f"a C-octet string of {len(octets)} octets, or with a NUL; at most {size - 1} fit")
    return octets + b"\0"
