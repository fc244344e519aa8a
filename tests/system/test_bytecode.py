"""Who wants no bytecode beside the sources gets none, and yet nothing is compiled anew in each process."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_processes_share_bytecode_that_lies_with_the_cache_of_pytest() -> None:
    asked = "import sys; print(sys.dont_write_bytecode, sys.pycache_prefix)"
    inherited = f"import subprocess, sys, tests; {asked}; subprocess.run([sys.executable, '-c', {asked!r}])"
    given = {key: value for key, value in os.environ.items() if key != "PYTHONPYCACHEPREFIX"}
    given |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    done = subprocess.run(
        [sys.executable, "-c", inherited], cwd=ROOT, env=given, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"False {ROOT / '.pytest_cache' / 'd' / 'bytecode'}"] * 2
