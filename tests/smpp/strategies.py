"""Valid PDUs of every kind, for the property tests of codec, framing and session."""

from hypothesis import strategies as st

from gateway.smpp import pdu as p
from gateway.smpp.constants import Tlv

octets = st.integers(0, 0xFF)
sequence_numbers = st.integers(1, 0x7FFFFFFF)
statuses = st.integers(0, 0xFFFFFFFF)


def strings(size: int) -> st.SearchStrategy[str]:
    """C-octet strings of at most `size` octets, the NUL included."""
    return st.text(st.characters(min_codepoint=1, max_codepoint=0xFF), max_size=size - 1)


def addresses(size: int = 21) -> st.SearchStrategy[p.Address]:
    return st.builds(p.Address, octets, octets, strings(size))


tlvs = st.lists(
    st.tuples(st.integers(0, 0xFFFF).filter(lambda tag: tag != Tlv.MESSAGE_PAYLOAD), st.binary(max_size=12)),
    max_size=4,
).map(tuple)
_header = {"sequence_number": sequence_numbers, "command_status": statuses, "tlvs": tlvs}


def messages(cls: type[p.Sm]) -> st.SearchStrategy[p.Sm]:
    return st.builds(
        cls,
        service_type=strings(6),
        source=addresses(),
        destination=addresses(),
        esm_class=octets,
        protocol_id=octets,
        priority_flag=octets,
        schedule_delivery_time=strings(17),
        validity_period=strings(17),
        registered_delivery=octets,
        replace_if_present_flag=octets,
        data_coding=octets,
        sm_default_msg_id=octets,
        short_message=st.binary(max_size=254),
        **_header,
    )


def _bind(cls: type[p.Bind]) -> st.SearchStrategy[p.Bind]:
    return st.builds(
        cls,
        system_id=strings(16),
        password=strings(9),
        system_type=strings(13),
        interface_version=octets,
        addr_ton=octets,
        addr_npi=octets,
        address_range=strings(41),
        **_header,
    )


def _message_resp(cls: type[p.MessageResp]) -> st.SearchStrategy[p.MessageResp]:
    return st.builds(
        cls, message_id=strings(65), tlvs=tlvs, sequence_number=sequence_numbers, command_status=st.just(0)
    )


def _bind_resp(cls: type[p.BindResp]) -> st.SearchStrategy[p.BindResp]:
    return st.builds(
        cls, system_id=strings(16), tlvs=tlvs, sequence_number=sequence_numbers, command_status=st.just(0)
    )


def _bare(cls: type[p.Pdu]) -> st.SearchStrategy[p.Pdu]:
    return st.builds(cls, **_header)


_MESSAGE_RESPONSES = (
    p.SubmitSmResp,
    p.DeliverSmResp,
    p.DataSmResp,
    p.BroadcastSmResp,
    p.QueryBroadcastSmResp,
)
BY_CLASS: dict[type[p.Pdu], st.SearchStrategy[p.Pdu]] = {
    **{cls: _bind(cls) for cls in (p.BindReceiver, p.BindTransmitter, p.BindTransceiver)},
    **{cls: _bind_resp(cls) for cls in (p.BindReceiverResp, p.BindTransmitterResp, p.BindTransceiverResp)},
    **{cls: _message_resp(cls) for cls in _MESSAGE_RESPONSES},
    **{
        cls: _bare(cls)
        for cls in (
            p.GenericNack,
            p.Unbind,
            p.UnbindResp,
            p.EnquireLink,
            p.EnquireLinkResp,
            p.CancelSmResp,
            p.ReplaceSmResp,
            p.CancelBroadcastSmResp,
        )
    },
    p.SubmitSm: messages(p.SubmitSm),
    p.DeliverSm: messages(p.DeliverSm),
    p.Outbind: st.builds(p.Outbind, system_id=strings(16), password=strings(9), **_header),
    p.DataSm: st.builds(
        p.DataSm,
        service_type=strings(6),
        source=addresses(65),
        destination=addresses(65),
        esm_class=octets,
        registered_delivery=octets,
        data_coding=octets,
        **_header,
    ),
    p.AlertNotification: st.builds(p.AlertNotification, source=addresses(65), esme=addresses(65), **_header),
    p.SubmitMulti: st.builds(
        p.SubmitMulti,
        service_type=strings(6),
        source=addresses(),
        destinations=st.lists(st.one_of(addresses(), strings(21)), min_size=1, max_size=5).map(tuple),
        esm_class=octets,
        protocol_id=octets,
        priority_flag=octets,
        schedule_delivery_time=strings(17),
        validity_period=strings(17),
        registered_delivery=octets,
        replace_if_present_flag=octets,
        data_coding=octets,
        sm_default_msg_id=octets,
        short_message=st.binary(max_size=254),
        **_header,
    ),
    p.SubmitMultiResp: st.builds(
        p.SubmitMultiResp,
        message_id=strings(65),
        unsuccess=st.lists(st.builds(p.Unsuccessful, addresses(), statuses), max_size=5).map(tuple),
        **_header,
    ),
    p.BroadcastSm: st.builds(
        p.BroadcastSm,
        service_type=strings(6),
        source=addresses(),
        message_id=strings(65),
        priority_flag=octets,
        schedule_delivery_time=strings(17),
        validity_period=strings(17),
        replace_if_present_flag=octets,
        data_coding=octets,
        sm_default_msg_id=octets,
        **_header,
    ),
    p.QueryBroadcastSm: st.builds(p.QueryBroadcastSm, message_id=strings(65), source=addresses(), **_header),
    p.CancelBroadcastSm: st.builds(
        p.CancelBroadcastSm,
        service_type=strings(6),
        message_id=strings(65),
        source=addresses(),
        **_header,
    ),
    p.QuerySm: st.builds(p.QuerySm, message_id=strings(65), source=addresses(), **_header),
    p.QuerySmResp: st.builds(
        p.QuerySmResp,
        message_id=strings(65),
        final_date=strings(17),
        message_state=octets,
        error_code=octets,
        **_header,
    ),
    p.CancelSm: st.builds(
        p.CancelSm,
        service_type=strings(6),
        message_id=strings(65),
        source=addresses(),
        destination=addresses(),
        **_header,
    ),
    p.ReplaceSm: st.builds(
        p.ReplaceSm,
        message_id=strings(65),
        source=addresses(),
        schedule_delivery_time=strings(17),
        validity_period=strings(17),
        registered_delivery=octets,
        sm_default_msg_id=octets,
        short_message=st.binary(max_size=254),
        **_header,
    ),
}


def plain(cls: type[p.Pdu], sequence_number: int) -> p.Pdu:
    """A PDU of this kind with as little in it as it may have."""
    if cls is p.SubmitMulti:
        return p.SubmitMulti(destinations=("list",), sequence_number=sequence_number)
    return cls(sequence_number=sequence_number)


pdus = st.one_of(*BY_CLASS.values())
