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
    from safetensors import SafetensorError, safe_open

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it must have at most {MAX_BYTES} bytes")
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors, json.loads(metadata[_FACTS])
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is damaged: {first_line(error)}",
            "put it back from a copy, or remove it: the trial then starts over",
        ) from None
