import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import petseg
from petseg.errors import (
    HubAccessError,
    HubContentError,
    HubError,
    HubNotFoundError,
    HubUnavailableError,
)
from petseg.hub import Pushed, pull, push
from petseg.models import bundle, cache, fetch
from petseg.models.bundle import Bundle
from tests.support.hub_fixtures import REPO, contents, environment, make_release
from tests.support.hub_server import TOKEN, HubServer

READ = {"petseg.json", "model.onnx", "model.safetensors", "config.json", "parity.json"}


def check_round_trip(release: Path, repo: str, photo: NDArray[np.uint8]) -> Pushed:
    """What is pulled gives the masks of what was pushed; the same again changes nothing."""
    pushed = push(release, repo, private=True)
    assert pushed.changed
    assert pushed.tag == f"v{Bundle.read(release / bundle.FILE, 'release').version}"
    folder = pull(repo)
    assert folder.name == pushed.commit
    assert set(contents(folder)) == READ
    assert contents(folder).items() <= contents(release).items()
    local = petseg.segment(photo, model=release / "model.onnx", device="cpu").mask
    assert set(np.unique(local)) == {0, 1, 2}
    for model in (folder, repo, f"{repo}@{pushed.tag}", f"{repo}@{pushed.commit}"):
        assert (petseg.segment(photo, model=model, device="cpu").mask == local).all()
    assert (petseg.Segmenter.from_pretrained(repo, pushed.tag, device="cpu")(photo).mask == local).all()
    again = push(release, repo)
    assert (again.commit, again.changed) == (pushed.commit, False)
    return pushed


def test_push_pull_segment(hub: HubServer, release: Path, photo: NDArray[np.uint8]) -> None:
    pushed = check_round_trip(release, REPO, photo)
    assert pushed.url == f"{hub.url}/{REPO}"
    assert hub.repositories[REPO].tags == {"v1.0": pushed.commit}
    assert set(hub.files(REPO)) == {*READ, "README.md", "history.csv", "history.png", ".gitattributes"}
    assert len(hub.repositories[REPO].commits) == 2, "one commit behind the empty one"


@pytest.mark.skipif(
    not (os.environ.get("PETSEG_HUB_TEST_REPO") and os.environ.get("HF_TOKEN")),
    reason="set PETSEG_HUB_TEST_REPO to an ORG/NAME to publish at, and HF_TOKEN to a token that may",
)
def test_round_trip_on_the_real_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photo: NDArray[np.uint8]
) -> None:
    from huggingface_hub import constants

    repo = os.environ["PETSEG_HUB_TEST_REPO"]
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    check_round_trip(make_release(tmp_path / "release", version=f"0.{time.time_ns()}"), repo, photo)
    with pytest.raises(HubNotFoundError, match="no such revision"):
        pull(repo, "v-none")
    with pytest.raises(HubNotFoundError, match="no such repository"):
        pull(f"{repo}-none")


def test_no_token_leaves_for_other_hosts(hub: HubServer, release: Path) -> None:
    push(release, REPO)
    pull(REPO)
    tokens = {token for _, path, token in hub.requests if path.startswith(("/cdn", "/lfs/"))}
    assert tokens == {None}
    assert {token for _, path, token in hub.requests if path.startswith("/api")} == {f"Bearer {TOKEN}"}


def test_a_new_card_goes_behind_the_tag(hub: HubServer, release: Path) -> None:
    first = push(release, REPO)
    (release / "README.md").write_text("---\nlibrary_name: petseg\n---\n# better\n")
    (release / "history.png").unlink()
    second = push(release, REPO)
    assert second.changed
    assert hub.repositories[REPO].tags == {"v1.0": first.commit}
    assert b"better" in hub.files(REPO)["README.md"]
    assert "history.png" not in hub.files(REPO)
    assert ".gitattributes" in hub.files(REPO)


def test_a_published_version_stays_what_it_is(hub: HubServer, release: Path, tmp_path: Path) -> None:
    push(release, REPO)
    other = make_release(tmp_path / "other", parameters=13)
    with pytest.raises(HubContentError, match=r"version 1\.0 .* is published already"):
        push(other, REPO)
    assert len(hub.repositories[REPO].commits) == 2
    newer = make_release(tmp_path / "newer", parameters=13, version="1.1")
    push(newer, REPO)
    assert pull(REPO) != pull(REPO, "v1.0")
    assert fetch.locate(cache.Reference(REPO)).bundle.version == "1.1"


@pytest.mark.parametrize(("token", "error"), [("", HubAccessError), ("hf_wrong", HubAccessError)])
def test_push_without_a_token(
    hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch, token: str, error: type[HubError]
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(error, match="HF_TOKEN"):
        push(release, REPO)
    assert hub.repositories == {}


def test_private(hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(release, REPO, private=True)
    assert hub.repositories[REPO].private
    monkeypatch.setenv("HF_TOKEN", "")
    with pytest.raises(HubNotFoundError, match=r"or it is private.*HF_TOKEN"):
        pull(REPO)


@pytest.mark.parametrize("repo", ["tiny", "a/b/c", "a/b@v1", "../b", ""])
def test_no_place_to_publish(hub: HubServer, release: Path, repo: str) -> None:
    with pytest.raises((HubContentError, HubNotFoundError)):
        push(release, repo)
    assert hub.requests == []


def test_nothing_but_listed_files_of_the_three_kinds(hub: HubServer, release: Path) -> None:
    extra = {
        "model.pkl": b"cos\nsystem\n",
        "modeling.py": b"import os",
        "more.onnx": b"x",
        "pytorch_model.bin": b"x",
    }
    hub.put(REPO, contents(release) | extra)
    assert set(contents(pull(REPO))) == READ
    assert hub.asked("GET", "pkl|py|bin|more|README|csv|png") == 0


def test_what_is_cached_is_used_without_asking(hub: HubServer, release: Path) -> None:
    hub.put(REPO, contents(release))
    petseg.Segmenter(REPO, device="cpu")
    hub.requests.clear()
    petseg.Segmenter(REPO, device="cpu")
    assert hub.requests == []
    pull(REPO)
    assert [path for _, path, _ in hub.requests] == [f"/api/models/{REPO}"], (
        "only whether there is a newer one"
    )


def test_a_pull_brings_what_is_newer(hub: HubServer, release: Path, tmp_path: Path) -> None:
    first = hub.put(REPO, contents(release))
    assert pull(REPO).name == first
    second = hub.put(REPO, contents(make_release(tmp_path / "newer", version="1.1")))
    assert fetch.locate(cache.Reference(REPO)).folder.name == first
    assert pull(REPO).name == second
    assert fetch.locate(cache.Reference(REPO)).folder.name == second
    hub.requests.clear()
    assert pull(REPO, first).name == first
    assert hub.requests == [], "a commit never changes"


def test_offline(hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.put(REPO, contents(release))
    folder = pull(REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert pull(REPO) == folder
    petseg.Segmenter(REPO, device="cpu")
    for missing in ("pets/other", f"{REPO}@v9"):
        with pytest.raises(HubUnavailableError, match="HF_HUB_OFFLINE is set"):
            pull(missing)
    (folder / "config.json").unlink()
    with pytest.raises(HubUnavailableError, match="not whole in the cache"):
        pull(REPO)
    petseg.Segmenter(REPO, device="cpu")
    assert hub.requests == []


def test_push_offline(hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubUnavailableError, match="HF_HUB_OFFLINE is set, so the Hub is not asked"):
        push(release, REPO)
    assert hub.requests == []


def test_damage_in_the_cache_is_repaired(hub: HubServer, release: Path) -> None:
    hub.put(REPO, contents(release))
    folder = pull(REPO)
    for name in ("model.onnx", "petseg.json"):
        good = (folder / name).read_bytes()
        (folder / name).resolve().write_bytes(good[:-1] + b"?")
        hub.requests.clear()
        petseg.Segmenter(REPO, device="cpu")
        assert (folder / name).read_bytes() == good
        assert hub.asked("HEAD", "resolve") == 1, "the others are as they should be"


def test_names_without_a_namespace(hub: HubServer, release: Path) -> None:
    hub.put("petseg/tiny", contents(release))
    assert pull("tiny").parents[1].name == "models--petseg--tiny"


@pytest.mark.parametrize(
    ("text", "revision", "problem"),
    [
        ("a/b@v1", "v2", "names a revision already"),
        ("a/b@", None, "no revision"),
        ("a/b", "../v1", "no revision"),
        ("a/b", "v1..v2", "no revision"),
        ("a--b/c", None, "no model on the Hub"),
        ("a/b/c", None, "no model on the Hub"),
        ("", None, "no model on the Hub"),
        ("a/b c", None, "no model on the Hub"),
    ],
)
def test_bad_names(text: str, revision: str | None, problem: str) -> None:
    with pytest.raises(HubNotFoundError, match=problem):
        pull(text, revision)


def test_listing_the_cache(hub: HubServer, release: Path) -> None:
    for repo in (REPO, "pets/tagged"):
        hub.repositories[repo].tags["v1.0"] = hub.put(repo, contents(release))
    hub.put("other/thing", {"config.json": b"{}"})
    pull(REPO)
    pull("pets/tagged@v1.0")
    with pytest.raises(HubContentError):
        pull("other/thing")
    assert [str(reference) for reference, _, _ in cache.listing()] == ["pets/tagged@v1.0", REPO]


def test_a_cache_that_may_not_be_written_serves_what_it_has(
    hub: HubServer, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.put(REPO, contents(release))
    folder = pull(REPO)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(hub.cache))

    for module, name in (
        (os, "makedirs"),
        (os, "mkdir"),
        (os, "replace"),
        (Path, "write_text"),
        (Path, "mkdir"),
    ):
        monkeypatch.setattr(module, name, refuse)
    assert pull(REPO) == folder
    petseg.Segmenter(REPO, device="cpu")
    hub.put("pets/other", contents(release))
    with pytest.raises(HubError, match=r"may not be written.*HF_HOME"):
        pull("pets/other")


def test_two_processes_at_once(hub: HubServer, release: Path, tmp_path: Path) -> None:
    hub.put(REPO, contents(make_release(tmp_path / "large", weights=os.urandom(3_000_000))))
    hub.fail("GET", "/cdn/", times=2, delay=0.5)
    command = [sys.executable, "-c", f"from petseg.hub import pull; print(pull({REPO!r}))"]
    runs = [
        subprocess.Popen(
            command, env=environment(hub), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    results = [run.communicate(timeout=600) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], results
    assert results[0][0] == results[1][0]
    folder = Path(results[0][0].strip())
    assert contents(folder) == {name: data for name, data in hub.files(REPO).items() if name in READ}
    assert hub.asked("GET", "/cdn/") == 2, "each of the two large files once: the other process waits"


def test_two_graphs(hub: HubServer, tmp_path: Path, photo: NDArray[np.uint8]) -> None:
    release = make_release(tmp_path / "parts", parts=True)
    push(release, REPO)
    local = petseg.segment(photo, (20, 30), model=release, device="cpu").mask
    assert local.any()
    for model in (REPO, pull(REPO)):
        assert (petseg.segment(photo, (20, 30), model=model, device="cpu").mask == local).all()


FORMATS = sorted((Path(__file__).parents[1] / "fixtures" / "published").glob("format-*"))


@pytest.mark.parametrize("folder", FORMATS, ids=lambda folder: folder.name)
def test_every_format_still_loads(hub: HubServer, folder: Path, photo: NDArray[np.uint8]) -> None:
    hub.put(REPO, contents(folder))
    assert petseg.segment(photo, model=REPO, device="cpu").label in ("cat", "dog")


def test_there_is_a_fixture_of_every_format() -> None:
    assert [folder.name for folder in FORMATS] == [f"format-{i + 1}" for i in range(bundle.FORMAT)]


@pytest.mark.parametrize("key", [(), ("manifest",)])
def test_newer_formats_are_refused(hub: HubServer, key: tuple[str, ...]) -> None:
    files = contents(FORMATS[-1])
    document = json.loads(files[bundle.FILE])
    (document[key[0]] if key else document)["format"] += 1
    hub.put(REPO, files | {bundle.FILE: json.dumps(document).encode()})
    with pytest.raises(HubContentError, match=r"format 2, this petseg reads up to 1; upgrade petseg"):
        petseg.Segmenter(REPO)
