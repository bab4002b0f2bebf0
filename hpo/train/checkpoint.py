"""Tensors and facts in one safetensors file that is either old or new, never half written."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from hpo.errors import InputError, first_line
from hpo.lazy import lazy
from hpo.records import Json

if TYPE_CHECKING:
    import safetensors.torch as safetensors
    import torch
else:
    safetensors = lazy("safetensors.torch")

MAX_BYTES = 1 << 36

# What stands before the names of tensors that scale a model's inputs and targets.
SCALINGS = ("inputs.", "targets.")

_FACTS = "facts"


def write(path: Path, tensors: Mapping[str, torch.Tensor], facts: Json) -> None:
    """Replaces the file in one move.

    Args:
        facts: what is not a tensor, as JSON; lies in the file's own metadata.
    """
    owned = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    # Named by process: a worker given up for lost may still be writing when its successor does.
    scratch = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    safetensors.save_file(owned, scratch, {_FACTS: json.dumps(facts)})
    # The move may reach the disk before the content does, and a power cut come in between.
    with scratch.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(scratch, path)


def read(path: Path) -> tuple[dict[str, torch.Tensor], Json]:
    """Tensors, on the CPU, and facts of a file written by `write`.

    Raises:
        InputError: it is damaged or larger than `MAX_BYTES`.
    """
    try:
        tensors, metadata = _contents(path)
        return tensors, json.loads(metadata[_FACTS])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: {first_line(error)}",
            "put it back from a copy, or remove it: the trial then starts over",
        ) from None


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Tensors, on the CPU, of any safetensors file.

    Raises:
        InputError: it is none, or is larger than `MAX_BYTES`.
    """
    try:
        return _contents(path)[0]
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} cannot be read as safetensors: {first_line(error)}",
            "give the model.safetensors of a trial, or write a file with "
            "safetensors.torch.save_file(model.state_dict(), path)",
        ) from None


def _contents(path: Path) -> tuple[dict[str, torch.Tensor], Mapping[str, str]]:
    """Tensors and metadata; ValueError if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it must have at most {MAX_BYTES} bytes")
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(first_line(error)) from None
