"""The gateway a Python user would write with smpplib, as its README shows: the answer from Redis.

usage: python gateway.py SMPP_PORT REDIS_PORT
"""

import logging
import sys
import time

import redis
import smpplib.client
import smpplib.consts
import smpplib.exceptions

SMPP_PORT, REDIS_PORT = map(int, sys.argv[1:3])

logging.disable(logging.ERROR)
store = redis.Redis(port=REDIS_PORT, decode_responses=True)
client = smpplib.client.Client("127.0.0.1", SMPP_PORT)


def received(pdu):
    number = pdu.source_addr.decode()
    client.send_message(
        source_addr_ton=smpplib.consts.SMPP_TON_INTL,
        source_addr=pdu.destination_addr.decode(),
        dest_addr_ton=smpplib.consts.SMPP_TON_INTL,
        dest_addr_npi=smpplib.consts.SMPP_NPI_ISDN,
        destination_addr=number,
        short_message=(store.get(f"reply:{number}") or "unknown").encode("ascii"),
    )
    return 0


client.set_message_received_handler(received)
client.set_message_sent_handler(lambda pdu: None)
while True:
    try:
        client.connect()
        break
    except smpplib.exceptions.ConnectionError:
        time.sleep(0.1)
client.bind_transceiver(system_id="smpplib", password="pw")
client.listen()
