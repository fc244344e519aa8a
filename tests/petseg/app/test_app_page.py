"""The page as a whole, on a loopback port, driven as a program would."""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import gradio as gr
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image

import petseg
from petseg import Segmenter
from petseg.app import build_app, launch
from petseg.app.parts import guarded
from petseg.measure.perturbations import perturb

LOOPBACK = ("127.0.0.1", "::1", "localhost", "0.0.0.0")


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Addresses beyond this machine that something tried to reach."""
    tried: list[Any] = []
    connect = socket.socket.connect

    def spy(self: socket.socket, address: Any) -> Any:
        if self.family != socket.AF_UNIX and address[0] not in LOOPBACK:
            tried.append(address)
            raise OSError("no network")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", spy)
    return tried


@pytest.fixture
def page(
    segmenters: dict[str, Segmenter],
    elsewhere: list[Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_catalogue: None,
) -> Iterator[gr.Blocks]:
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "gradio"))
    page = launch(segmenters, host="127.0.0.1", block=False)
    yield page
    page.close()


def test_the_page_answers_programs_and_stays_at_home(
    page: gr.Blocks, elsewhere: list[Any], upload: Path, tmp_path: Path, segmenters: dict[str, Segmenter]
) -> None:
    client = Client(page.local_url, download_files=tmp_path / "downloads", verbose=False)
    photo = handle_file(upload)

    overlay, mask, info = client.predict(
        photo, points="[[500, 600, 1]]", box="", model="", api_name="/segment"
    )
    expected = segmenters["tiny-prompt"].segment(upload, (500, 600))
    with Image.open(mask) as image:
        np.testing.assert_array_equal(np.asarray(image), expected.mask)
    with Image.open(overlay) as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(expected.overlay()))
    assert (info["label"], info["model"]) == ("cat", "tiny-prompt")
    assert info["score"] == pytest.approx(expected.score)
    assert info["milliseconds"] > 0
    (pet,), (expected_pet,) = info["pets"], expected.pets
    assert (pet["label"], pet["box"], pet["area"]) == ("cat", [*expected_pet.box], expected_pet.area)
    assert pet["polygons"][0]["exterior"] == expected_pet.polygons()[0]["exterior"]
    assert info["missed"] == []
    boxes = "[[200, 200, 450, 500], [700, 200, 900, 500]]"
    *_, info = client.predict(photo, box=boxes, api_name="/segment")
    together = segmenters["tiny-prompt"].segment(upload, boxes=[(200, 200, 450, 500), (700, 200, 900, 500)])
    assert [pet["box"] for pet in info["pets"]] == [[*pet.box] for pet in together.pets]

    *_, info = client.predict(photo, api_name="/segment")
    assert info["model"] == "tiny", "without clicks, the one that needs none"

    damaged = client.predict(photo, kind="occlusion", level=10, seed=3, api_name="/perturb")
    with Image.open(damaged) as image, Image.open(upload) as clean:
        np.testing.assert_array_equal(np.asarray(image), perturb(np.asarray(clean), "occlusion", 10, 3))

    models = client.predict(api_name="/models")
    assert [(model["name"], model["prompts"], model["here"]) for model in models] == [
        ("tiny", [], True),
        ("tiny-prompt", ["point", "box"], True),
    ]

    for wrong, message in (
        ({"points": "[[1, 2]]"}, "1 for pet"),
        ({"points": "[[1, 2, 1"}, "is not of the form"),
        ({"points": "[[9999, 2, 1]]"}, "outside the photo"),
        ({"box": "[5, 5, 1, 1]"}, "does not fit"),
        ({"model": "/etc/passwd"}, "there is no model"),
        ({"threshold": 2}, "between 0 and 1"),
        ({"photo": handle_file(__file__)}, "is a text, not a photo"),
    ):
        with pytest.raises(AppError, match=f"(?i){message}"):
            client.predict(**({"photo": photo} | wrong), api_name="/segment")
    with pytest.raises(AppError, match="Unknown perturbation"):
        client.predict(photo, kind="fog", level=1, seed=0, api_name="/perturb")

    names = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(names) == {"/segment", "/perturb", "/models"}, "handlers of the page are no endpoints"
    examples = [part["example_input"] for part in names["/segment"]["parameters"]]
    assert examples == [
        {"path": "dog.jpg", "meta": {"_type": "gradio.FileData"}},
        "[[120, 80, 1]]",
        "",
        "",
        0,
    ]
    assert elsewhere == []


def test_the_page_fetches_nothing_from_elsewhere(page: gr.Blocks) -> None:
    with urlopen(page.local_url) as answer:
        text = answer.read().decode()
    fetched = re.findall(r"<(?:script|link|img)\b[^>]*?(?:src|href)=[\"'](https?:)?//([^/\"']+)", text)
    assert {host for _, host in fetched} <= {page.local_url.split("/")[2]}
    assert "fonts.googleapis" not in text
    theme = urlopen(f"{page.local_url}theme.css").read().decode()
    assert not re.findall(r"url\([\"']?https?:|@import", theme)


def test_gradio_is_imported_without_stubs_for_editors() -> None:
    code = (
        "import ast, inspect\n"
        "parse, parsed, getfile = ast.parse, [], inspect.getfile\n"
        "ast.parse = lambda *a, **o: parsed.append(a) or parse(*a, **o)\n"
        "import petseg.app, gradio\n"
        "assert inspect.getfile is getfile and getfile(gradio.Image).endswith('image.py')\n"
        "print(len(parsed))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert int(done.stdout) < 20, "Gradio reads the source of each of its eighty components again"


def test_building_loads_no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(Segmenter, "__init__", refuse)
    page = build_app()
    assert page.analytics_enabled is False
    assert page._queue.max_size is not None


def test_errors_are_words_on_the_page_and_traces_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def asked_wrongly() -> None:
        raise petseg.PromptError("this was wrong; do that")

    def broken() -> None:
        raise ZeroDivisionError("/secret/path")

    with pytest.raises(gr.Error) as caught:
        guarded(asked_wrongly)()
    assert caught.value.message == "This was wrong; do that."
    assert not caplog.records
    with pytest.raises(gr.Error) as caught:
        guarded(broken)()
    assert "secret" not in caught.value.message
    assert "ZeroDivisionError" in caplog.text
