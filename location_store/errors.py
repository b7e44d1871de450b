"""Every error that leaves the location store.

Invariant: the message is one line fit for an operator: what is wrong, the value, how to mend it; never a
full number and never a place. The command line prints it as it is; the gateway maps the class to a status
for the SMSC.
"""


class StoreError(Exception):
    """Base of the package's errors."""


class BadInput(StoreError):  # noqa: N818 -- named for what happened
    """What the caller gave cannot be used; trying again changes nothing."""


class BadMsisdn(BadInput):
    """Not a possible phone number. The message shows it only in part, since it may be a real one mistyped."""

    def __init__(self, text: str) -> None:
        self.text = text
        super().__init__(
            f"{_shown(text)!r} is not a possible phone number:"
            " write it as +8613800000000 or as a national number"
        )


class StoreUnavailable(StoreError):  # noqa: N818 -- named for what happened
    """Redis is away, too slow or loading: temporary, the same call may succeed later."""


class StoreSilent(StoreUnavailable):
    """The call was sent and the connection lost before its answer: whether it took effect is unknown."""


class StoreRefused(StoreError):  # noqa: N818 -- named for what happened
    """The store or its keys are there but must not be used: wrong password, too old, unsafe key file."""


class RecordError(StoreError):
    """Stored bytes that are no record of this format: damaged, or written by something newer."""


def _shown(text: str) -> str:
    return text if len(text) <= 6 else f"{text[:3]}…{text[-2:]}"
