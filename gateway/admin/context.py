"""What commands open: the configuration, keys, the audit log, the store.

Invariant: whatever is opened here is closed when its block ends. Called by the command modules only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import click

from gateway import engine
from gateway.admin.audit import AuditLog
from gateway.admin.options import config_path
from gateway.config import Config, load
from location_store.pseudonyms import KeyFile, Pseudonyms
from location_store.store import Store


def open_config(ctx: click.Context) -> Config:
    """The configuration that the command line names. Raises ConfigError."""
    return load(config_path(ctx))


def open_pseudonyms(config: Config) -> Pseudonyms:
    """The pseudonyms under the newest key. Raises StoreRefused where the key file is missing or unsafe."""
    return Pseudonyms(KeyFile.load(config.keys.file), config.layout)


def open_audit(config: Config, pseudonyms: Pseudonyms) -> AuditLog:
    """The audit log of this configuration."""
    return AuditLog(config.audit_file, pseudonyms.audit_key)


@contextmanager
def running_redis(config: Config) -> Iterator[Config]:
    """The configuration with the URL of a server that runs: the embedded engine is started where it is asked
    for, and ends with its last user."""
    with engine.opened(config.redis.url, config.data.dir) as url:
        yield replace(config, redis=config.redis.model_copy(update={"url": url}))


@contextmanager
def open_store(config: Config, pseudonyms: Pseudonyms) -> Iterator[Store]:
    """The store at `config.redis.url`. Its warnings go to stderr. Raises StoreUnavailable, StoreRefused."""
    store = Store.connect(
        config.redis.url,
        pseudonyms,
        keep_days=config.keep_days,
        wait_replicas=config.store.wait_replicas,
        wait_ms=config.store.wait_ms,
    )
    try:
        for warning in store.warnings:
            click.echo(f"cxmyd: warning: {warning}", err=True)
        yield store
    finally:
        store.close()
