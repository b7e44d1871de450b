"""`make cluster`: three primaries and three replicas on this machine, from a clean state, until Ctrl-C."""

import signal

import click

from bench.cluster.nodes import Cluster, running
from bench.store.results import console, table


@click.command()
@click.option("--primaries", default=3, show_default=True, type=click.IntRange(min=3))
@click.option("--port", default=0, help="Of the first node; free ones are taken unless it is given.")
@click.option("--node-timeout-ms", default=2000, show_default=True)
def main(primaries: int, port: int, node_timeout_ms: int) -> None:
    """Run a cluster whose data is gone when it ends."""
    signal.signal(signal.SIGTERM, signal.getsignal(signal.SIGINT))
    try:
        with running(primaries=primaries, port=port, node_timeout_ms=node_timeout_ms) as cluster:
            show(cluster)
            console.print(f"\nurl = {cluster.url!r}\n\nCtrl-C ends it.", soft_wrap=True, highlight=False)
            signal.pause()
    except KeyboardInterrupt:
        console.print("ended")


def show(cluster: Cluster) -> None:
    """The nodes, as the first one sees them."""
    known = cluster.known_to(cluster.nodes[0])
    names = {each["node_id"]: address for address, each in known.items()}
    rows = []
    for node in cluster.nodes:
        told = known[node.address]
        slots = " ".join("-".join(map(str, each)) for each in told["slots"])
        rows.append(
            (node.address, node.pid, f"slots {slots}" if slots else f"replica of {names[told['master_id']]}")
        )
    table("", ("node", "process", "role"), rows)


if __name__ == "__main__":
    main()
