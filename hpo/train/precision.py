"""How exact the arithmetic of a trial is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Literal

from hpo.errors import InputError
from hpo.lazy import lazy

if TYPE_CHECKING:
    import torch
else:
    torch = lazy("torch")

Precision = Literal["float32", "float64", "tf32", "bf16"]


def dtype_of(precision: Precision) -> torch.dtype:
    """Of parameters, states and losses."""
    return torch.float64 if precision == "float64" else torch.float32


def check_precision(precision: Precision, device: str) -> None:
    """
    Raises:
        InputError: the device has no such arithmetic.
    """
    if precision in ("tf32", "bf16") and device != "cuda":
        raise InputError(
            f"precision {precision} is that of a GPU's matrix units, this trial runs on {device}",
            "set precision: float32, or run where there is a GPU",
        )


@contextmanager
def arithmetic(precision: Precision) -> Iterator[None]:
    """Within it, matrix products and convolutions are of this precision."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    allowed = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = allowed
    try:
        with _autocast() if precision == "bf16" else nullcontext():
            yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def _autocast() -> AbstractContextManager[None]:
    # Its cache of converted weights would hold tensors made inside a transform of torch.func.
    return torch.autocast("cuda", torch.bfloat16, cache_enabled=False)
