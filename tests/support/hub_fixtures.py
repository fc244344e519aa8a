"""The Hub of `hub_server` in the place of the real one, and folders to publish there."""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from petseg.models import bundle
from tests.support.hub_server import TOKEN, HubServer
from tests.support.tiny_models import PROMPTABLE, build_model, manifest, save_parts

# Before huggingface_hub is imported: no test may see, or fill, the cache of whoever runs it.
os.environ["HF_HUB_CACHE"] = str(Path(__file__).parent / "no-cache-outside-of-fixtures")

REPO = "pets/tiny"
PATIENCE = 300
"""Seconds, in the place of huggingface_hub's time limits."""


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    """An empty Hub, an empty cache, a token, and no waiting: `hub.waits` lists what was asked for."""
    from huggingface_hub import constants

    with HubServer(tmp_path / "cache").running() as server:
        settings = {
            "ENDPOINT": server.url,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.url + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(server.cache),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_DISABLE_TELEMETRY": True,
            "HF_HUB_OFFLINE": False,
            # Both ends are in this process: on a busy machine neither gets its turn for seconds.
            "HF_HUB_ETAG_TIMEOUT": PATIENCE,
            "HF_HUB_DOWNLOAD_TIMEOUT": PATIENCE,
        }
        for name, value in settings.items():
            monkeypatch.setattr(constants, name, value, raising=False)  # not all versions know all
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(time, "sleep", server.waits.append)
        yield server


def environment(hub: HubServer) -> dict[str, str]:
    """For other processes: the same Hub and cache."""
    return os.environ | {
        "HF_ENDPOINT": hub.url,
        "HF_HUB_CACHE": str(hub.cache),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_ETAG_TIMEOUT": str(PATIENCE),
        "HF_HUB_DOWNLOAD_TIMEOUT": str(PATIENCE),
    }


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A folder that may be published."""
    return make_release(tmp_path / "release")


def make_release(folder: Path, weights: bytes = b"weights", parts: bool = False, **changes: Any) -> Path:
    """Put a tiny model and what belongs to it into a folder.

    Args:
        folder: to be made.
        weights: of the "checkpoint".
        parts: a promptable model in two graphs.
        **changes: of the metadata.
    """
    folder.mkdir(parents=True)
    changes["checkpoint_sha256"] = hashlib.sha256(weights).hexdigest()
    document = PROMPTABLE | changes if parts else manifest(**changes)
    if parts:
        save_parts(folder, document)
    else:
        onnx.save(build_model(document=document), folder / "model.onnx")
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text('{"name": "tiny"}\n')
    (folder / "history.csv").write_text("epoch,loss\n1,0.5\n")
    (folder / "history.png").write_bytes(b"\x89PNG")
    (folder / "README.md").write_text("---\nlibrary_name: petseg\n---\n# tiny\n")
    report = {
        "files": {path.name: bundle.digest(path) for path in folder.glob("*.onnx")},
        "checkpoint_sha256": document["checkpoint_sha256"],
    }
    (folder / "parity.json").write_text(json.dumps(report))
    return describe(folder, document)


def describe(folder: Path, document: dict[str, Any]) -> Path:
    """Write the folder's petseg.json."""
    (folder / bundle.FILE).write_text(json.dumps(bundle.describe(folder, document), indent=2))
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Path in the repository -> bytes, for `HubServer.put`."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
