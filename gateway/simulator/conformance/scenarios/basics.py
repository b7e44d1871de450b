"""What every ESME does before it is worth to provoke it."""

from gateway.simulator.conformance.lab import Lab
from gateway.simulator.conformance.scenario import scenario


@scenario("basics", "SMPP 3.4, 2.2, 4.6 and 4.11")
async def ordinary_session(lab: Lab) -> None:
    """An ordinary session: the ESME is bound, answers enquire_link and deliver_sm, and, where a text is known
    that it answers, answers it by one submit_sm.
    """
    await lab.check_health()
