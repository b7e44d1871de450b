"""The gateway's configuration: `load(path)` gives a checked, frozen `Config` or names every mistake."""

from gateway.config.loading import Config, load
from gateway.config.models import Client, ClientTls, Listen, ServerTls, Smsc

__all__ = ["Client", "ClientTls", "Config", "Listen", "ServerTls", "Smsc", "load"]
