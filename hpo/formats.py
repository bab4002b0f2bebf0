"""How a config can be written out."""

from __future__ import annotations

from typing import Literal

Format = Literal["yaml", "json", "env"]
