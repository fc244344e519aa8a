"""Configs as files, and training scripts in processes of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from train.config import Config

ROOT = Path(__file__).parents[2]
ACCELERATE = ROOT / "train/accelerate"
TWO_PROCESSES = ["--config_file", str(ACCELERATE / "multi_cpu.yaml")]


def write_toml(config: Config, path: Path) -> Path:
    """As `load_config` reads it: JSON's numbers, strings and lists are TOML's as well."""
    document = config.model_dump(exclude_none=True)
    lines = [f"{key} = {json.dumps(value)}" for key, value in document.items() if not isinstance(value, dict)]
    for name, table in document.items():
        if isinstance(table, dict):
            lines.append(f"[{name}]")
            for key, value in table.items():
                lines.append(f"{key} = {inline(value)}")
    path.write_text("\n".join(lines))
    return path


def inline(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {inline(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value)


ONE_PROCESS = ["--cpu", "--num_processes", "1", "--num_machines", "1"]
ONE_PROCESS += ["--mixed_precision", "no", "--dynamo_backend", "no"]


def launch(
    script: Path, *arguments: str, options: Sequence[str] = ONE_PROCESS
) -> subprocess.CompletedProcess[str]:
    """`accelerate launch` to its end."""
    started = start(script, *arguments, options=options)
    output, errors = started.communicate(timeout=570)
    return subprocess.CompletedProcess(started.args, started.returncode, output, errors)


def start(script: Path, *arguments: str, options: Sequence[str]) -> subprocess.Popen[str]:
    """`accelerate launch` with options of its own before the script."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.Popen(
        [sys.executable, "-m", "accelerate.commands.launch", *options, str(script), *arguments],
        cwd=script.parent,  # not the repository root: the script has to find its package by itself
        env=environment | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
