"""The moving average of a model's weights, of a sharded model too."""

from collections.abc import Callable, Iterator

from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim.swa_utils import get_ema_multi_avg_fn


def ema_with_warmup(decay: float) -> Callable[..., None]:
    """Moving average whose decay starts low, so that the random start is soon forgotten.

    After n updates the decay is min(decay, (1 + n) / (10 + n)), TensorFlow's `num_updates` rule.
    """

    def average(averaged: list[Tensor], current: list[Tensor], updates: Tensor) -> None:
        now = min(decay, (1 + updates.item()) / (10 + updates.item()))
        get_ema_multi_avg_fn(now)(averaged, current, updates)

    return average


class Gathered(nn.Module):
    """The parameters and buffers of a model that FSDP shards, each made whole when its turn comes."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.sharded = model

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:
        """Whole ones, in the model's order; all processes must ask for them."""
        return (
            nn.Parameter(p.full_tensor(), requires_grad=False) if isinstance(p, DTensor) else p
            for p in self.sharded.parameters(recurse)
        )
