"""Why a request of ours has no response. Given by `connection` to whoever sent it."""


class LostError(Exception):
    """The connection ended, or no response came in time: whether the peer took the request is unknown."""


class UnsentError(LostError):
    """The connection ended before the request left: another may be tried at once."""


class OverfullError(Exception):
    """More is waiting than this connection will ever send in time."""


class TooLateError(Exception):
    """The request was not sent, and never will be: its time to live is over."""
