"""What the processes of the tests need before any of them imports more."""

import os
import sys
from pathlib import Path

if sys.dont_write_bytecode:
    # Asked to leave none beside the sources (PYTHONDONTWRITEBYTECODE), Python would compile torch and all the
    # rest anew in every process that the tests start, which is half of their time. pytest's cache takes it.
    kept = str(Path(__file__).parents[1] / ".pytest_cache" / "d" / "bytecode")
    sys.pycache_prefix, sys.dont_write_bytecode = kept, False
    os.environ["PYTHONPYCACHEPREFIX"] = kept
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
