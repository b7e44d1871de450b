"""The gateway's configuration: `load(path)` gives a checked, frozen `Config` or names every mistake."""

from gateway.config.loading import Config, load
from gateway.config.models import Client, ClientTls, Listen, ServerTls, Smsc
from gateway.config.reloading import Change, Rules, change

__all__ = [
    "Change",
    "Client",
    "ClientTls",
    "Config",
    "Listen",
    "Rules",
    "ServerTls",
    "Smsc",
    "change",
    "load",
]
