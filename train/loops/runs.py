"""What a run leaves in its folder while it goes on."""

import shutil
from pathlib import Path

from train.loops.autoencoder import STAGE_ONE
from train.loops.base import state_folder


def has_begun(run: Path) -> bool:
    """Whether there is something to resume, of whichever stage."""
    return any(state_folder(stage) for stage in (run, run / STAGE_ONE))


def discard_states(run: Path) -> None:
    """Remove what only a resume needs, several times as large as the checkpoint, which stays."""
    for stage in (run, run / STAGE_ONE):
        while state := state_folder(stage):
            shutil.rmtree(state)
