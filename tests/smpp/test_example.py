"""The ESME of docs/smpp.md runs as it stands there, against the simulated SMSC."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

from tests.conftest import free_port

PAGE = Path(__file__).parents[2] / "docs" / "smpp.md"
CXMYD = Path(sys.executable).with_name("cxmyd")


def test_the_example_of_the_page_echoes_a_text(tmp_path: Path) -> None:
    """It binds, answers a text with itself, and ends when the SMSC does."""
    smpp, http = free_port(), free_port()
    [source] = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    example = tmp_path / "echo.py"
    example.write_text(source.replace("2775", str(smpp)), encoding="utf-8")
    smsc_command: list[str | Path] = [
        CXMYD,
        "smsc",
        "--smpp",
        f"127.0.0.1:{smpp}",
        "--http",
        f"127.0.0.1:{http}",
    ]
    with _running(*smsc_command) as smsc:
        try:
            assert smsc.stdout is not None
            assert "SMPP on port" in smsc.stdout.readline()
            with _running(sys.executable, "-u", example) as esme:
                assert esme.stdout is not None
                assert "bound to" in esme.stdout.readline()
                text = {"from": "8613800000001", "to": "10086", "text": "CXMYD"}
                _post(f"http://127.0.0.1:{http}/api/mo", text)
                assert esme.stdout.readline() == "the echo: status 0x0\n"
                smsc.terminate()
                assert "closed: " in esme.stdout.readline()
                assert esme.wait(60) == 0
        finally:
            smsc.kill()


def _running(*command: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _post(url: str, body: dict[str, str]) -> None:
    headers = {"Content-Type": "application/json"}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(body).encode(), headers), timeout=30)
