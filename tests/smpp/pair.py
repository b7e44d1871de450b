"""An ESME and an SMSC session joined by bytes, with a clock that the test moves: no sockets, no sleeping."""

from gateway.smpp import pdu as p
from gateway.smpp.codec import decode
from gateway.smpp.constants import CommandStatus
from gateway.smpp.events import Event, Incoming
from gateway.smpp.framing import Framer
from gateway.smpp.session import Role, Session, SessionConfig, response_to

PHONE = p.Address(1, 1, "8613800000000")
SHORT_CODE = p.Address(0, 1, "10086")
BINDS = {"trx": p.BindTransceiver, "tx": p.BindTransmitter, "rx": p.BindReceiver}


def query(text: bytes = b"CXMYD") -> p.DeliverSm:
    return p.DeliverSm(source=PHONE, destination=SHORT_CODE, short_message=text)


def answer(text: bytes = b"Shanghai") -> p.SubmitSm:
    return p.SubmitSm(source=SHORT_CODE, destination=PHONE, short_message=text)


class Pair:
    """`esme` and `smsc` share `now_s`; nothing moves between them but by `to_smsc` and `to_esme`."""

    def __init__(
        self,
        config: SessionConfig | None = None,
        bind: str = "trx",
        segment: int = 0,
        smsc_config: SessionConfig | None = None,
    ) -> None:
        self.now_s = 1_000.0
        self.segment = segment  # octets a read, 0: all at once
        config = config or SessionConfig()
        self.esme = Session(Role.ESME, config, self.now_s)
        self.smsc = Session(Role.SMSC, smsc_config or config, self.now_s)
        if bind:
            self.esme.bind(BINDS[bind](system_id="cxmyd", password="secret"))
            self.to_smsc()
            self.smsc.accept_bind("smsc")
            self.to_esme()

    def to_smsc(self) -> list[Event]:
        return self.carry(self.smsc, self.esme.data_to_send())

    def to_esme(self) -> list[Event]:
        return self.carry(self.esme, self.smsc.data_to_send())

    def carry(self, receiver: Session, data: bytes) -> list[Event]:
        step = self.segment or len(data) or 1
        events = []
        for start in range(0, len(data), step):
            events += receiver.receive(data[start : start + step], self.now_s)
        return events


def sent(session: Session) -> list[p.Pdu]:
    """What a session would write now, decoded."""
    return [decode(frame) for frame in Framer().frames(session.data_to_send())]


def rok(session: Session, event: Event) -> bool:
    """Answer an Incoming with ESME_ROK."""
    assert isinstance(event, Incoming)
    return session.respond(event.pdu.sequence_number, response_to(event.pdu, CommandStatus.ESME_ROK))
