"""What becomes of the requests of a peer that are no submit_sm, deliver_sm or data_sm. Pure; called by
`receiving`.

We answer messages and keep none for later, so there is nothing to query, cancel, replace or broadcast: each
of these gets its own response with the status that says so, and the link lives. A submit_multi is taken as
the submit_sm that it is to us, when that is one.
"""

from collections.abc import Callable

from gateway.smpp import pdu as p
from gateway.smpp.constants import CommandStatus

_STATUS: dict[type[p.Pdu], CommandStatus] = {
    p.QuerySm: CommandStatus.ESME_RQUERYFAIL,
    p.CancelSm: CommandStatus.ESME_RCANCELFAIL,
    p.ReplaceSm: CommandStatus.ESME_RREPLACEFAIL,
    p.BroadcastSm: CommandStatus.ESME_RBCASTFAIL,
    p.QueryBroadcastSm: CommandStatus.ESME_RBCASTQUERYFAIL,
    p.CancelBroadcastSm: CommandStatus.ESME_RBCASTCANCELFAIL,
}


def refusal(request: p.Pdu) -> p.Pdu:
    """The response to a request that we do not offer."""
    assert request.response is not None
    return request.response(command_status=_STATUS.get(type(request), CommandStatus.ESME_RINVCMDID))


def submit_sm_of(multi: p.SubmitMulti, is_ours: Callable[[str], bool]) -> p.SubmitSm | CommandStatus:
    """The submit_sm to the one destination that is ours (or the only one there is), or why there is none."""
    addresses = [destination for destination in multi.destinations if isinstance(destination, p.Address)]
    if len(addresses) < len(multi.destinations):
        return CommandStatus.ESME_RINVDLNAME  # we keep no distribution lists
    ours = addresses if len(addresses) == 1 else [each for each in addresses if is_ours(each.digits)]
    if len(ours) != 1:
        return CommandStatus.ESME_RINVNUMDESTS if ours else CommandStatus.ESME_RINVDSTADR
    return p.SubmitSm(
        sequence_number=multi.sequence_number,
        source=multi.source,
        destination=ours[0],
        esm_class=multi.esm_class,
        registered_delivery=multi.registered_delivery,
        data_coding=multi.data_coding,
        short_message=multi.short_message,
        tlvs=multi.tlvs,
    )


def unsuccessful(multi: p.SubmitMulti, taken: p.Address) -> tuple[p.Unsuccessful, ...]:
    """The destinations that a submit_multi_resp has to name as refused (3.4, 4.5.2)."""
    status = CommandStatus.ESME_RINVDSTADR
    return tuple(
        p.Unsuccessful(destination, status)
        for destination in multi.destinations
        if isinstance(destination, p.Address) and destination != taken
    )
