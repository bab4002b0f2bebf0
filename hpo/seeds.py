"""Every random draw comes from the study's seed and what the draw is for."""

from __future__ import annotations

import hashlib


def derive(*parts: int | str) -> int:
    """An int in [0, 2**31) that depends on all parts, equal on every machine.

    Example:
        >>> derive(0, "trial", 7) == derive(0, "trial", 7) != derive(0, "trial", 8)
        True
    """
    text = "/".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest()) >> 33


def of_trial(search: int, number: int) -> int:
    """`trial.seed` of a trial of a search.

    Args:
        search: the search's own seed.
    """
    return derive(search, "trial", number)


def of_repeat(repeat: int) -> int:
    """`trial.seed` of a run of a final stage, by repeat: the same for every config of every study,
    so that two studies can be compared seed by seed."""
    return derive("final", repeat)
