import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from petseg import segment
from petseg.models import bundle
from tests.support.hub_fixtures import REPO, contents, environment
from tests.support.hub_server import HubServer

Run = Callable[..., Any]


def test_publish_and_use_from_other_processes(
    hub: HubServer, release: Path, put: Callable[[Path], Path], tmp_path: Path
) -> None:
    """Only environment variables say where the Hub is."""

    def petseg(*words: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from petseg.cli import main; main()", *map(str, words)]
        return subprocess.run(
            command, env=environment(hub), capture_output=True, text=True, check=True, timeout=600
        )

    assert "v1.0" in petseg("push", release, REPO).stdout
    pulled = petseg("pull", REPO, "--revision", "v1.0").stdout
    assert f"{bundle.digest(release / 'model.onnx')}  {hub.cache}" in pulled
    photo = put(tmp_path / "photo.png")
    petseg("segment", photo, "--model", REPO, "--device", "cpu", "-o", tmp_path / "mask.png")
    expected = segment(photo, model=release / "model.onnx", device="cpu").encode(kind="mask")
    assert (tmp_path / "mask.png").read_bytes() == expected


def test_pull(hub: HubServer, release: Path, run: Run) -> None:
    commit = hub.put(REPO, contents(release))
    result = run("pull", REPO)
    assert result.exit_code == 0
    assert f"tiny 1.0, {REPO} at {commit}" in result.stderr
    names = ["petseg.json", "config.json", "model.onnx", "model.safetensors", "parity.json"]
    assert [Path(line.split("  ")[1]).name for line in result.stdout.splitlines()] == names
    for line in result.stdout.splitlines():
        digest, path = line.split("  ")
        assert bundle.digest(Path(path)) == digest
    quiet = run("pull", REPO, "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")


def test_pull_fails(hub: HubServer, run: Run) -> None:
    result = run("pull", "pets/none")
    assert result.exit_code == 1
    assert "petseg: error: pets/none: there is no such repository" in result.output


def test_models_of_the_hub(hub: HubServer, release: Path, weights: Path, run: Run) -> None:
    hub.put(REPO, contents(release))
    run("pull", REPO, "-q")
    lines = run("models").stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:]] == [
        ["tiny", "embedded"],
        ["tiny-prompt", "embedded"],
        [REPO, "cached"],
    ]


def test_push(hub: HubServer, release: Path, run: Run) -> None:
    dry = run("push", release, REPO, "--dry-run")
    assert dry.exit_code == 0
    assert [line.split()[1] for line in dry.stdout.splitlines()[:-1]][:2] == ["README.md", "config.json"]
    assert "tiny 1.0 would become pets/tiny, tagged v1.0" in dry.stdout
    assert hub.requests == []
    first, again = run("push", release, REPO), run("push", release, REPO)
    assert f"{hub.url}/{REPO} is v1.0 at" in first.stdout
    assert "nothing was changed" in again.stdout


def test_push_of_something_else(hub: HubServer, tmp_path: Path, run: Run) -> None:
    for options in ([], ["--dry-run"]):
        result = run("push", tmp_path, REPO, *options)
        assert result.exit_code == 1
        assert "petseg.json is missing" in result.output
    assert hub.requests == []
