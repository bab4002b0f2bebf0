"""Randomness as an input: noise is a function of (seed, step, site, index).

A counter-based generator has no state to carry or to lose, so a resumed trial, a trial alone and
the same trial as one lane of a pack all see the same bits. Reference: Salmon et al. 2011, Parallel
random numbers: as easy as 1, 2, 3; the finalizer is lowbias32 (Wellons 2018, Prospecting for hash
functions).
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from hpo.lazy import lazy

if TYPE_CHECKING:
    import numpy as np
    import torch
else:
    np = lazy("numpy")
    torch = lazy("torch")

Word = TypeVar("Word", int, "torch.Tensor", "np.ndarray")

_WORD = 0xFFFFFFFF


def mix(word: Word) -> Word:
    """lowbias32: a bijection of 32-bit words in which every input bit moves every output bit.

    Args:
        word: an int, or an int64 tensor or array, of values in [0, 2**32).
    """
    word = word ^ (word >> 16)
    word = word * 0x7FEB352D & _WORD
    word = word ^ (word >> 15)
    word = word * 0x846CA68B & _WORD
    return word ^ (word >> 16)


def derive(seed: int, *labels: int | str) -> int:
    """A seed in [0, 2**32) for one purpose of a trial: `derive(seed, "order", epoch)`."""
    for label in labels:
        number = zlib.crc32(label.encode()) if isinstance(label, str) else label
        seed = mix(mix(seed & _WORD) ^ (number & _WORD))
    return seed


def step_keys(seed: int, steps: torch.Tensor) -> torch.Tensor:
    """One key for each step.

    Args:
        seed: the trial's.
        steps: int64 [T], from 0.

    Returns:
        int32 [T].
    """
    keys = mix(mix(steps & _WORD) ^ derive(seed, "noise"))
    return (keys - 2**31).to(torch.int32)


@dataclass(frozen=True)
class NoiseSource:
    """Noise for every site of a program; the same object serves all steps and lanes."""

    device: torch.device
    _words: dict[tuple[str, torch.Size], torch.Tensor] = field(default_factory=dict)

    def at(self, key: torch.Tensor) -> Noise:
        return Noise(self, key)

    def index_words(self, site: str, shape: torch.Size) -> torch.Tensor:
        """A fixed random word for every index at a site, int32 [*shape]; only steps differ."""
        if (site, shape) not in self._words:
            # NumPy, since tensors made inside a torch.func transform must not outlive it.
            index = np.arange(shape.numel(), dtype=np.int64)
            words = mix(mix(index) ^ zlib.crc32(site.encode())).astype(np.uint32).view(np.int32)
            self._words[site, shape] = torch.from_numpy(words).view(shape).to(self.device)
        return self._words[site, shape]


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one step of one trial.

    Args:
        key: int32 [], from `step_keys`.
    """

    source: NoiseSource
    key: torch.Tensor

    def words(self, site: str, shape: torch.Size) -> torch.Tensor:
        """Uniform words, int32 [*shape]; use the high bits first.

        Half of `mix`: the index words are mixed already. The shift is arithmetic, which merges
        pairs of words; the multiplication after it spreads what is left over all high bits.
        """
        word = (self.source.index_words(site, shape) ^ self.key) * 0x7FEB352D
        return (word ^ (word >> 15)) * -0x7B935975  # 0x846CA68B as a signed word

    def keep(self, drop_rate: torch.Tensor, site: str, shape: torch.Size) -> torch.Tensor:
        """Independent draws that are true with probability 1 - `drop_rate`; bool [*shape].

        Args:
            drop_rate: in [0, 1), [].
        """
        # Comparing integers costs half of turning the words into floats first.
        threshold = (drop_rate * 2.0**32 - 2.0**31).to(torch.int32)
        return self.words(site, shape) >= threshold

    def uniform(self, site: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """Independent draws from [0, 1), [*shape]: multiples of 2**-24, as float32 has them."""
        return (self.words(site, shape) >> 8).to(dtype) * 2.0**-24 + 0.5

    def normal(self, site: str, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
        """Independent draws from N(0, 1), [*shape], by its inverse distribution function.

        None is beyond 5.42 standard deviations, as one in 2**24 would be.
        """
        # Odd multiples of 2**-24, of which neither precision rounds one to -1 or 1.
        centred = self.uniform(site, shape, dtype) * 2.0 - (1.0 - 2.0**-24)
        return torch.erfinv(centred) * math.sqrt(2.0)

    def permutation(self, site: str, n: int) -> torch.Tensor:
        """All orders of n rows alike, int64 [n]."""
        return torch.argsort(self.words(site, torch.Size((n,))), stable=True)
