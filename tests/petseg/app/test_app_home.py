"""A page's process tells nobody anything, whatever Gradio's libraries were told when they were imported."""

from pathlib import Path

import pytest

from tests.support.watched import watched

SEND = """
from huggingface_hub.utils import _telemetry, send_telemetry  # reads its settings before the page is made
if sys.argv[2] == "at home":
    from petseg.app.home import stay_at_home
    stay_at_home()
send_telemetry("petseg/test", library_name="petseg", library_version="0")
_telemetry._TELEMETRY_QUEUE.join()  # until all is sent
import subprocess  # and what processes do that this one starts
code = "from huggingface_hub import constants; print(constants.HF_HUB_DISABLE_TELEMETRY)"
print(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
"""

VARIABLES = {
    "HF_ENDPOINT": "http://127.0.0.1:1",  # where nobody listens
    "HF_HUB_DISABLE_TELEMETRY": "",
    "DISABLE_TELEMETRY": "",
    "DO_NOT_TRACK": "",
    "HF_HUB_OFFLINE": "",
}


@pytest.mark.parametrize(("where", "tells"), [("at home", False), ("elsewhere", True)])
def test_the_hub_is_told_nothing(tmp_path: Path, where: str, tells: bool) -> None:
    seen = watched(SEND, tmp_path / "seen.json", where, **VARIABLES)
    assert bool(seen.of("socket.connect")) == tells
    assert seen.output.strip() == str(not tells), "its children"
