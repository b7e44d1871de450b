"""`make cluster`, as a developer sees it."""

import re
import signal
import socket
import subprocess
import sys

import redis

from tests.cluster import until


def test_a_cluster_starts_serves_and_leaves_nothing() -> None:
    """It prints its URL, all slots are served, each primary has a replica; Ctrl-C ends every node."""
    command = [sys.executable, "-m", "bench.cluster.start"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        shown = ""
        while "Ctrl-C ends it." not in shown:
            line = process.stdout.readline()
            assert line, shown
            shown += line
        ports = [int(port) for port in re.findall(r":(\d+)", shown.partition("url = ")[2])]
        assert len(set(ports)) == 6
        with redis.Redis(port=ports[0]) as node:
            said = node.execute_command("CLUSTER INFO")
            assert (said["cluster_state"], said["cluster_slots_ok"]) == ("ok", "16384")
        assert shown.count("replica of") == 3
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    until(lambda: not any(_answers(port) for port in ports))


def _answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
