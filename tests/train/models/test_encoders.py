from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub.errors import OfflineModeIsEnabled
from safetensors.torch import save_file
from torch import Tensor
from torchvision.models import mobilenet_v2

from train.models import build, encoders
from train.models.encoders import MobileNetV2Encoder, PlainEncoder, TimmEncoder, WeightsUnavailableError
from train.models.unet import UNet, UNetConfig


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """`features.*` of a random MobileNetV2, whole, with its last layer and its classifier."""
    torch.manual_seed(5)
    path = tmp_path / "start.safetensors"
    save_file(mobilenet_v2().state_dict(), path)
    return path


def file_tensors() -> dict[str, Tensor]:
    torch.manual_seed(5)
    return dict(mobilenet_v2().state_dict())


@pytest.mark.parametrize("depth", [1, 3])
def test_plain_encoder_halves_and_doubles(depth: int) -> None:
    encoder = PlainEncoder([6 * 2**level for level in range(depth + 1)])
    features = encoder(torch.zeros(2, 3, 16, 24))
    assert [tuple(f.shape) for f in features] == [
        (2, 6 * 2**level, 16 >> level, 24 >> level) for level in range(depth + 1)
    ]
    assert encoder.channels == [f.shape[1] for f in features]


@pytest.mark.parametrize("count", [1, 2])
def test_strided_encoder_halves_from_the_first_level_on(count: int) -> None:
    encoder = PlainEncoder([4, 6, 9], downsampling="strided", count=count)
    features = encoder(torch.zeros(1, 3, 16, 24))
    assert [tuple(f.shape[1:]) for f in features] == [(4, 8, 12), (6, 4, 6), (9, 2, 3)]
    assert encoder.finest_stride == 2


def test_mobilenet_features_have_the_promised_shapes() -> None:
    encoder = MobileNetV2Encoder().eval()
    features = encoder(torch.zeros(1, 3, 64, 96))
    assert [f.shape[1] for f in features] == encoder.channels == [16, 24, 32, 96, 320]
    assert [(64 // f.shape[2], 96 // f.shape[3]) for f in features] == [(s, s) for s in (2, 4, 8, 16, 32)]


def test_mobilenet_is_that_of_torchvision(weights: Path) -> None:
    """And each map is the last of its stride, where the features are the deepest."""
    torch.manual_seed(5)
    image = torch.rand(1, 3, 64, 64) * 2 - 1
    encoder = MobileNetV2Encoder(str(weights)).eval()
    torch.manual_seed(5)
    features, last = image, {}
    with torch.inference_mode():
        for layer in mobilenet_v2().eval().features[:18]:
            features = layer(features)
            last[features.shape[-1]] = features
        for own, expected in zip(encoder(image), last.values(), strict=True):
            assert torch.equal(own, expected)


def test_local_weights_are_taken_over(weights: Path) -> None:
    torch.manual_seed(77)
    model = build(UNetConfig(encoder="mobilenet_v2", weights=str(weights), decoder=[8, 8, 8, 8]))
    assert isinstance(model, UNet)
    expected = {k: v for k, v in file_tensors().items() if k.startswith("features.") and ".18." not in k[:12]}
    state = model.encoder.state_dict()
    assert sorted(state) == sorted(expected)
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor), name


def test_random_start_differs(weights: Path) -> None:
    torch.manual_seed(77)
    own = MobileNetV2Encoder().state_dict()
    assert not torch.equal(own["features.0.0.weight"], file_tensors()["features.0.0.weight"])


def test_an_empty_name_is_a_random_start() -> None:
    assert MobileNetV2Encoder("").state_dict().keys() == MobileNetV2Encoder().state_dict().keys()


@pytest.mark.parametrize("error", [ConnectionError("no route"), OfflineModeIsEnabled("offline")])
def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(encoders, "mobilenet_v2", fail)
    monkeypatch.setattr(timm, "create_model", fail)
    with pytest.raises(WeightsUnavailableError, match=r"mobilenet_v2\.IMAGENET1K_V2 cannot be downloaded"):
        MobileNetV2Encoder("IMAGENET1K_V2")
    with pytest.raises(
        WeightsUnavailableError, match=r"x\.in1k cannot be downloaded \(.*\); check the network"
    ):
        TimmEncoder("x", "in1k")


def test_missing_file_is_named_with_the_ways_out() -> None:
    with pytest.raises(FileNotFoundError, match=r"/nowhere/x\.safetensors do not exist; set model\.weights"):
        MobileNetV2Encoder("/nowhere/x.safetensors")


@pytest.mark.parametrize("name", ["IMAGENET1K_V9", "weights.pt"])
def test_unknown_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"are unknown; give a \.safetensors file or one of IMAGENET1K_V1"):
        MobileNetV2Encoder(name)


def test_file_that_lacks_layers(tmp_path: Path) -> None:
    path = tmp_path / "part.safetensors"
    save_file({"features.0.0.weight": torch.zeros(32, 3, 3, 3)}, path)
    with pytest.raises(RuntimeError, match="Missing key"):
        MobileNetV2Encoder(str(path))


TINY = "test_efficientnet"
"""timm's own network for tests."""


@pytest.mark.parametrize("head", [False, True])
def test_timm_encoder_gives_what_timm_gives(tmp_path: Path, head: bool) -> None:
    torch.manual_seed(3)
    whole = timm.create_model(TINY).eval()
    save_file(whole.state_dict(), tmp_path / "start.safetensors")
    encoder = TimmEncoder(TINY, str(tmp_path / "start.safetensors"), head=head).eval()
    photo = torch.rand(1, 3, 64, 64)
    mean, std = (torch.tensor(whole.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    with torch.inference_mode():
        maps = encoder(photo * 2 - 1)
        last, expected = whole.forward_intermediates((photo - mean) / std)
    assert len(maps) == len(expected) + head
    for found, wanted in zip(maps, [*expected, last], strict=False):
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
    assert encoder.channels == [one.shape[1] for one in expected]
    assert encoder.head_channels == (last.shape[1] if head else 0)
    assert encoder.finest_stride == 64 // expected[0].shape[-1]


def test_timm_encoder_names_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="timm does not give 'no_such_network'"):
        TimmEncoder("no_such_network")
    with pytest.raises(ValueError, match=r"'test_efficientnet\.no_such_weights'"):
        TimmEncoder(TINY, "no_such_weights")
    with pytest.raises(FileNotFoundError, match="do not exist"):
        TimmEncoder(TINY, str(tmp_path / "missing.safetensors"))
    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=f"are not those of {TINY}"):
        TimmEncoder(TINY, str(tmp_path / "other.safetensors"))
