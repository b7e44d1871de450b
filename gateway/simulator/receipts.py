"""Delivery receipts, in the form of SMPP 3.4 appendix B and in those that SMSCs really send.

Pure. Called by `smsc`.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gateway.simulator import alphabets
from gateway.simulator.pdus import Pdu

RECEIPT = 0x04  # esm_class of a delivery receipt, SMPP 3.4 section 5.2.12

# message_state by the word of appendix B, section 5.2.28
STATES: dict[str, int] = {
    "ENROUTE": 1, "DELIVRD": 2, "EXPIRED": 3, "DELETED": 4,
    "UNDELIV": 5, "ACCEPTD": 6, "UNKNOWN": 7, "REJECTD": 8,
}  # fmt: skip
_FAILURES = frozenset({"EXPIRED", "DELETED", "UNDELIV", "UNKNOWN", "REJECTD"})


class Report(NamedTuple):
    """What a receipt tells."""

    message_id: str
    state: str
    at_s: float
    text: str

    @property
    def when(self) -> str:
        return datetime.fromtimestamp(self.at_s, UTC).strftime("%y%m%d%H%M")

    @property
    def delivered(self) -> bool:
        return self.state == "DELIVRD"


def _appendix_b(report: Report, counts: str = "") -> str:
    words = report.text[:20].encode("ascii", "replace").decode("ascii")
    return (
        f"id:{report.message_id} {counts}submit date:{report.when} done date:{report.when}"
        f" stat:{report.state} err:{0 if report.delivered else 1:03} text:{words}"
    )


def _usual(report: Report) -> str:
    return _appendix_b(report, f"sub:001 dlvrd:{report.delivered:03} ")


def _decimal(report: Report) -> str:
    return _usual(report._replace(message_id=str(int(report.message_id, 16))))


FORMS: dict[str, Callable[[Report], str]] = {
    "no_counts": _appendix_b,  # neither sub nor dlvrd
    "decimal_id": _decimal,
    "lower": lambda report: _usual(report).lower(),
    "text_only": _usual,  # without the TLVs
    "tlvs_only": lambda report: "",
    "prose": lambda report: f"Message {report.message_id} is {report.state} now",
}
_WITHOUT_TLVS = frozenset({"text_only", "decimal_id", "prose"})


def wanted(registered_delivery: int, state: str) -> bool:
    """Whether the sender asked for a receipt of this end (section 5.2.17; 3 is SMPP 5.0's)."""
    failed = state in _FAILURES
    return (registered_delivery or 0) & 0x03 in ((1, 2) if failed else (1, 3))


def fields_of(pdu: Pdu, report: Report, form: str | None) -> dict[str, Any]:
    """The deliver_sm that reports on a submit_sm or data_sm."""
    text = FORMS[form](report) if form else _usual(report)
    fields = {
        "source_addr_ton": pdu.dest_addr_ton,
        "source_addr_npi": pdu.dest_addr_npi,
        "source_addr": pdu.destination_addr,
        "dest_addr_ton": pdu.source_addr_ton,
        "dest_addr_npi": pdu.source_addr_npi,
        "destination_addr": pdu.source_addr,
        "esm_class": RECEIPT,
        "data_coding": alphabets.GSM,
        "short_message": text.encode("ascii"),
    }
    if form not in _WITHOUT_TLVS:
        fields |= {"receipted_message_id": report.message_id, "message_state": STATES[report.state]}
    return fields
