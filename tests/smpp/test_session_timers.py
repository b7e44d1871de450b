"""The timers of a session, moved by the test alone."""

from gateway.smpp import events as e
from gateway.smpp import pdu as p
from gateway.smpp.codec import encode
from gateway.smpp.constants import CommandStatus
from gateway.smpp.session import Role, Session, SessionConfig, State
from tests.smpp.pair import Pair, answer, query, rok, sent

CONFIG = SessionConfig(
    enquire_link_s=30, enquire_timeout_s=5, response_timeout_s=10, session_init_s=8, inactivity_s=0
)


def advance(pair: Pair, seconds: float) -> None:
    pair.now_s += seconds


def test_request_expires() -> None:
    """A request without response expires at its own deadline; its late response is counted and ignored."""
    pair = Pair(CONFIG)
    pair.esme.request(answer(), pair.now_s, "first")
    advance(pair, 4)
    pair.esme.request(answer(), pair.now_s, "second")
    assert pair.esme.next_deadline_s() == 1_010
    advance(pair, 6)
    late = pair.to_smsc()
    assert pair.esme.tick(pair.now_s) == [e.Expired("first")]
    assert pair.esme.in_flight == 1
    for event in late:
        assert isinstance(event, e.Incoming)
        pair.smsc.respond(event.pdu.sequence_number, p.SubmitSmResp())
    (response,) = pair.to_esme()
    assert isinstance(response, e.Response)
    assert response.context == "second"
    assert (pair.esme.counters.expired, pair.esme.counters.unexpected) == (1, 1)


def test_enquire_link_keeps_an_idle_session() -> None:
    """Three weeks of silence cost one enquire_link in 30 s and nothing else."""
    pair = Pair(CONFIG)
    for _ in range(1_000):
        deadline_s = pair.esme.next_deadline_s()
        assert deadline_s == pair.now_s + 30
        pair.now_s = deadline_s
        assert pair.esme.tick(pair.now_s) == []
        assert pair.to_smsc() == []
        assert pair.to_esme() == []
    assert pair.esme.state is pair.smsc.state is State.BOUND
    assert pair.esme.counters.sent == 1_001
    assert pair.esme.counters.unexpected == 0


def test_dead_peer() -> None:
    """A half-open link is given up within enquire_link_s + enquire_timeout_s."""
    pair = Pair(CONFIG)
    advance(pair, 29.5)
    pair.esme.request(answer(), pair.now_s, "mt")
    advance(pair, 0.5)
    assert pair.esme.tick(pair.now_s) == []
    assert [type(pdu) for pdu in sent(pair.esme)] == [p.SubmitSm, p.EnquireLink]
    advance(pair, 4.9)
    assert pair.esme.tick(pair.now_s) == []
    advance(pair, 0.1)
    closed = e.Closed(e.CloseReason.ENQUIRE_LINK_UNANSWERED, ["mt"])
    assert pair.esme.tick(pair.now_s) == [closed]


def test_busy_peer_has_more_patience_but_not_for_ever() -> None:
    """While other PDUs come the enquire_link_resp may take response_timeout_s, and no longer."""
    pair = Pair(CONFIG)
    advance(pair, 30)
    pair.esme.tick(pair.now_s)
    for _ in range(2):
        advance(pair, 4.5)
        pair.carry(pair.esme, encode(query()))
        assert pair.esme.tick(pair.now_s) == []
    advance(pair, 1)
    (closed,) = pair.esme.tick(pair.now_s)
    assert isinstance(closed, e.Closed)


def test_trickled_octets_are_no_sign_of_life() -> None:
    """Only whole PDUs count: a header that comes octet by octet does not keep a session."""
    pair = Pair(CONFIG)
    data = encode(query())
    advance(pair, 30)
    pair.esme.tick(pair.now_s)
    for octet in range(5):
        pair.carry(pair.esme, data[octet : octet + 1])
        advance(pair, 1)
    assert isinstance(pair.esme.tick(pair.now_s)[0], e.Closed)


def test_peers_enquire_link_is_answered() -> None:
    """In any state, also before the bind."""
    for session in (Session(Role.SMSC, CONFIG, 0.0), Pair().esme):
        assert session.receive(encode(p.EnquireLink(sequence_number=5)), 0.0) == []
        assert sent(session)[-1] == p.EnquireLinkResp(sequence_number=5)


def test_nacked_enquire_link() -> None:
    """A peer that knows no enquire_link and nacks it is alive."""
    pair = Pair(CONFIG)
    advance(pair, 30)
    pair.esme.tick(pair.now_s)
    (enquiry,) = sent(pair.esme)
    pair.carry(pair.esme, encode(p.GenericNack(command_status=3, sequence_number=enquiry.sequence_number)))
    advance(pair, 6)
    assert pair.esme.tick(pair.now_s) == []


def test_silent_bind() -> None:
    """Whoever does not bind is closed at one absolute deadline, however it trickles."""
    session = Session(Role.SMSC, CONFIG, 0.0)
    for second in range(8):
        assert session.receive(b"\0", float(second)) == [] if second < 3 else True
        assert session.tick(float(second)) == []
    assert session.next_deadline_s() == 8
    assert session.tick(8.0) == [e.Closed(e.CloseReason.NOT_BOUND_IN_TIME, [])]


def test_bind_unanswered() -> None:
    """The ESME gives up at the same deadline."""
    pair = Pair(CONFIG, bind="")
    pair.esme.bind(p.BindTransceiver())
    advance(pair, 8)
    assert pair.esme.tick(pair.now_s) == [e.Closed(e.CloseReason.NOT_BOUND_IN_TIME, [])]


def test_refused_binds_do_not_extend_the_deadline() -> None:
    """A peer that guesses passwords has session_init_s for all of its tries."""
    pair = Pair(CONFIG, bind="")
    for _ in range(3):
        advance(pair, 2)
        pair.esme.bind(p.BindTransceiver())
        pair.to_smsc()
        pair.smsc.refuse_bind(14)
        pair.to_esme()
    advance(pair, 2)
    assert pair.smsc.tick(pair.now_s) == [e.Closed(e.CloseReason.NOT_BOUND_IN_TIME, [])]


def test_unbind_unanswered() -> None:
    """A peer that never answers our unbind is left after response_timeout_s."""
    pair = Pair(CONFIG)
    pair.esme.unbind(pair.now_s)
    advance(pair, 10)
    assert pair.esme.tick(pair.now_s) == [e.Closed(e.CloseReason.UNBIND_UNANSWERED, [])]


def test_draining_has_an_end() -> None:
    """The peer's unbind is answered after response_timeout_s even when the owner still owes responses."""
    pair = Pair(CONFIG)
    pair.smsc.request(query(), pair.now_s)
    pair.smsc.unbind(pair.now_s)
    assert isinstance(pair.to_esme()[0], e.Incoming)
    advance(pair, 10)
    assert pair.esme.tick(pair.now_s) == [e.Closed(e.CloseReason.PEER_UNBOUND, [])]
    assert [type(pdu) for pdu in sent(pair.esme)] == [p.UnbindResp]


def test_inactivity() -> None:
    """Without a message for inactivity_s the session unbinds, whatever enquire_link does."""
    config = SessionConfig(enquire_link_s=30, inactivity_s=100)
    pair = Pair(config)
    for _ in range(4):
        advance(pair, 25)
        pair.carry(pair.esme, encode(p.EnquireLink(sequence_number=1)))
        pair.esme.tick(pair.now_s)
    assert pair.esme.state is State.UNBINDING


def test_what_the_owner_leaves_unanswered_is_put_off() -> None:
    """After answer_timeout_s the peer gets a temporary status, its slot is free, a late answer is dropped."""
    config = SessionConfig(
        peer_window=3, answer_timeout_s=20, response_timeout_s=60, enquire_link_s=1_000, window=10
    )
    pair = Pair(config)
    for context in range(3):
        pair.smsc.request(query(), pair.now_s, context)
        advance(pair, 1)
    first, second, third = pair.to_esme()
    assert rok(pair.esme, second)
    advance(pair, 19)
    assert pair.esme.next_deadline_s() == pair.now_s + 1
    advance(pair, 1)
    assert pair.esme.tick(pair.now_s) == []
    assert pair.esme.owing == 0
    responses = pair.to_smsc()
    assert [(r.context, r.pdu.command_status) for r in responses if isinstance(r, e.Response)] == [
        (1, CommandStatus.ESME_ROK),
        (0, CommandStatus.ESME_RX_T_APPN),
        (2, CommandStatus.ESME_RX_T_APPN),
    ]
    assert not rok(pair.esme, first)
    assert not rok(pair.esme, third)
    assert pair.esme.data_to_send() == b""
    assert (pair.esme.counters.put_off, pair.esme.counters.late_answers) == (2, 2)


def test_repeated_numbers_are_put_off_too() -> None:
    """Requests that a careless peer sent with one number, and one with another, all end."""
    pair = Pair(SessionConfig(answer_timeout_s=20, enquire_link_s=1_000))
    deliver = query()
    for number in (5, 6, 5):
        deliver.sequence_number = number
        pair.carry(pair.esme, encode(deliver))
        advance(pair, 5)
    assert pair.esme.next_deadline_s() == pair.now_s + 10
    advance(pair, 10)
    assert pair.esme.tick(pair.now_s) == []
    assert [pdu.sequence_number for pdu in sent(pair.esme)] == [6]
    advance(pair, 5)
    assert pair.esme.tick(pair.now_s) == []
    assert [pdu.sequence_number for pdu in sent(pair.esme)] == [5, 5]
    assert pair.esme.owing == 0


def test_unfinished_pdu() -> None:
    """A PDU that began and does not end in response_timeout_s ends the link, however lively the peer."""
    pair = Pair(SessionConfig(response_timeout_s=10, enquire_link_s=1_000))
    begun = encode(query())
    pair.carry(pair.esme, encode(p.EnquireLink(sequence_number=1)) + begun[:5])
    for octet in range(5, 14):
        advance(pair, 1)
        pair.carry(pair.esme, begun[octet : octet + 1])
        assert pair.esme.tick(pair.now_s) == []
    assert pair.esme.next_deadline_s() == pair.now_s + 1
    advance(pair, 1)
    assert pair.esme.tick(pair.now_s) == [e.Closed(e.CloseReason.PDU_UNFINISHED, [])]


def test_slow_but_complete_pdus_are_fine() -> None:
    """Each PDU has its own response_timeout_s, also when the next one begins in the same segment."""
    pair = Pair(SessionConfig(response_timeout_s=10, enquire_link_s=1_000))
    stream = encode(query()) * 5
    for at in range(0, len(stream), 20):
        for event in pair.carry(pair.esme, stream[at : at + 20]):
            rok(pair.esme, event)
        advance(pair, 3)
        assert pair.esme.tick(pair.now_s) == []
    assert pair.esme.next_deadline_s() == pair.now_s + 1_000 - 3


def test_silence_is_noticed_in_time_whatever_is_in_flight() -> None:
    """enquire_link_s + enquire_timeout_s bound a half-open link, by the session's own deadlines alone."""
    pair = Pair(CONFIG)
    pair.esme.request(answer(), pair.now_s)
    silent_since_s = pair.now_s
    while pair.esme.state is not State.CLOSED:
        deadline_s = pair.esme.next_deadline_s()
        assert deadline_s is not None
        pair.now_s = deadline_s
        pair.esme.tick(pair.now_s)
    assert pair.now_s - silent_since_s == CONFIG.enquire_link_s + CONFIG.enquire_timeout_s


def test_a_peer_that_never_answers_enquire_link() -> None:
    """Requests alone keep a link for response_timeout_s after the enquire_link that they did not answer."""
    pair = Pair(CONFIG)
    advance(pair, 30)
    pair.esme.tick(pair.now_s)
    for _ in range(10):
        assert pair.esme.state is State.BOUND
        pair.carry(pair.esme, encode(query()))
        advance(pair, 1)
        pair.esme.tick(pair.now_s)
    assert pair.esme.state is State.CLOSED
