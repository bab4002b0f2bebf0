"""Values that were computed outside this project, and that its methods have to meet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

GOLDEN: dict[str, Any] = json.loads(Path(__file__).with_name("golden.json").read_text())
"""By entry, each with its source and its input; `_meta` says how they were made."""

RELATIVE = 1e-6
"""How near values in float64 must come: `_meta.tolerance`."""
