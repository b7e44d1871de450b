"""Deterministic simulation: gateways, SMSC and store in one process, on simulated time and network.

`python -m sim --help`; docs/simulation.md. What runs is the gateway's own code from the SMPP connection to
the Redis connection, its own Lua functions, and the simulated SMSC. What is simulated is what lies between
and below: the event loop, the network, the Redis server, the clocks and chance. The same seed is the same
run.

    world     time, chance, and processes that can be killed at any step or stand still
    network   connections: latency, fragments, stalls, resets at any octet
    reactor   what the gateway's connections are made by
    store     a model of Redis, which runs gateway/redis/functions.lua; held against a real one by the tests
    server    the model as a server: away, slow, refusing, cut off before or after the effect
    actors    a gateway process; the SMSC; the phones
    setting   what all runs share: configuration, key, people and where they were
    history   what happened
    plan      what goes wrong, drawn from the seed
    checks    the sentences of docs/promise.md, each judged by itself
    run       one seed
    mutants   faults put into the gateway, each of which has to be found
"""
