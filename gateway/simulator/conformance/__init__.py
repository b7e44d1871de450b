"""The conformance suite: a simulated SMSC that provokes an ESME and judges it by the specification.

`wire` builds octets, right and wrong; `peer` is one connection of the ESME, `lab` all of them; `scenarios`
are the trials; `runner` plays them and looks after each whether the ESME is still well; `report` tells.
Nothing is shared with the codec of the gateway (`gateway.smpp`, `gateway.sms`): what the ESME sends is read
by smpplib and checked again, and what it is sent is put together octet by octet.
"""
