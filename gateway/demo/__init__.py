"""`cxmyd demo`: the whole service on one machine, on synthetic data, with nothing to install or to configure.

Every step goes through the doors a user has: the commands of `cxmyd` in processes of their own, the simulated
SMSC's HTTP API. Nothing here is used by the service itself.
"""
