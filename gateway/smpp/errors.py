"""What can be wrong with bytes from a peer, and with a call to a session.

A `PduError` says how it is answered, so that the session needs no second look at the bytes (as in h11). It is
raised by `codec` and `framing`; `SessionError` and its kin are raised to our own side only.
"""

from gateway.smpp.constants import status_name


class PduError(Exception):
    """A received PDU that is refused.

    `command_status` is what to answer, with `sequence_number`, to `command_id`; `fatal` means that the stream
    cannot be followed any further and the link is to be closed after the answer. `received_status` is the
    command_status in the PDU's own header. `why` quotes no address and no text.
    """

    def __init__(
        self,
        command_status: int,
        command_id: int,
        sequence_number: int,
        why: str,
        *,
        received_status: int = 0,
        fatal: bool = False,
    ) -> None:
        super().__init__(f"{status_name(command_status)}: {why}")
        self.command_status = command_status
        self.command_id = command_id
        self.sequence_number = sequence_number
        self.why = why
        self.received_status = received_status
        self.fatal = fatal


class FramingError(PduError):
    """A command_length below 16 or above the limit: the stream is lost."""

    def __init__(self, why: str, command_status: int) -> None:
        super().__init__(command_status, 0, 0, why, fatal=True)  # no header was found (3.4, 4.3)


class Unencodable(ValueError):  # noqa: N818 - says what the PDU is
    """A PDU of our own that has no encoding: a field too long, a NUL in a string, a number out of range."""


class SessionError(Exception):
    """A call that the session's state does not allow."""


class NotBound(SessionError):  # noqa: N818 - says what the session is
    """The session is not bound, or its bind's type or version does not allow this request."""


class WindowFull(SessionError):  # noqa: N818 - says what the window is
    """As many requests as the window holds are waiting for their responses."""
