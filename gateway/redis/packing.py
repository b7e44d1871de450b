"""Commands that are sent for every message, as templates for `%`, at a third of the cost of packing them.

Pure. `template` is held against `hiredis.pack_command` by a property test. Called by the adapters.
"""

from typing import NamedTuple


class Hole(NamedTuple):
    """An argument that differs from call to call; `prefix` is what it always begins with."""

    prefix: bytes = b""


def template(*arguments: bytes | Hole) -> bytes:
    """The command in RESP (Redis serialization protocol, arrays of bulk strings), to be filled with `%`: for
    each hole the length of the whole argument, and what comes behind its prefix.
    """
    parts = [b"*%d\r\n" % len(arguments)]
    for argument in arguments:
        if isinstance(argument, Hole):
            parts.append(b"$%d\r\n" + argument.prefix.replace(b"%", b"%%") + b"%b\r\n")
        else:
            parts.append((b"$%d\r\n%b\r\n" % (len(argument), argument)).replace(b"%", b"%%"))
    return b"".join(parts)
