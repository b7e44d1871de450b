"""Writes the first inputs of the corpus: a PDU of every kind, a talk in each role, texts in every form.
`python -m fuzz.seeds`.
"""

from pathlib import Path

from gateway.smpp import pdu as p
from gateway.smpp.codec import CLASSES, encode
from gateway.smpp.constants import Version

CORPUS = Path(__file__).parent / "corpus"
_RECEIPT = (
    b"id:0A1b sub:001 dlvrd:001 submit date:2611240101 done date:2611240102 stat:DELIVRD err:000 text:CXMYD"
)


def write(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def _full(cls: type[p.Pdu]) -> p.Pdu:
    """With something in every kind of field."""
    tlvs = ((0x001E, b"0a1b\0"), (0x0427, b"\2"), (0x0423, b"\3\0\x05"), (0x1400, b"vendor"))
    if cls is p.SubmitMulti:
        return p.SubmitMulti(destinations=("list", p.Address(1, 1, "8613800000001")), short_message=b"x")
    if issubclass(cls, p.Sm):
        return cls(
            source=p.Address(1, 1, "8613800000001"),
            destination=p.Address(0, 1, "10086"),
            esm_class=4,
            short_message=_RECEIPT,
            tlvs=tlvs,
        )
    return cls(tlvs=tlvs)


def main() -> None:
    for cls in CLASSES.values():
        pdu = _full(cls)
        pdu.sequence_number = 1
        write("codec", cls.__name__, encode(pdu, Version.V5_0))
    # acts and their arguments as `conversation` reads them: bind, bound, exchange, unbind, times between
    talk = bytes((4, 0, 8, 0, 0x34, 0, 0, 5, 1, 6, 0, 1, 20, 0, 1, 0, 0, 7, 0, 0, 3, 200, 9, 11, 1, 3, 200))
    for role in (0, 1):
        for version in (0, 1, 2):
            write("session", f"talk-{role}-{version}", bytes((role, 0, version)) + talk * 3)
    for alphabet in range(7):
        header = bytes((5, 0, 3, 7, 2, 1))
        for method in range(4):
            # codings, style, number of pieces; then esm_class, data_coding, no TLVs, octets
            start = bytes((alphabet, 5, alphabet, method, 1))
            piece = bytes((0x40, 0, 0, 12)) + header + b"CXMYD\x1be"[:6]
            last = bytes((4, 15, 1, 0, 5)) + b"0a1b\0" + bytes((len(_RECEIPT),)) + _RECEIPT
            write("texts", f"text-{alphabet}-{method}", start + piece + last)


if __name__ == "__main__":
    main()
