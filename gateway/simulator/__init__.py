"""The simulated SMSC and its phone page: what tests, demo and engineers send texts with.

Its PDUs are smpplib's, its alphabets and its joining of parts are its own: nothing is shared with the codec
under test (`gateway.smpp`, `gateway.sms`), so that an error there cannot agree with itself here.
"""
