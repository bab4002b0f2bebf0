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
