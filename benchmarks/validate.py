"""How long `hpo validate studies/digits.yaml` takes as a whole process.

python benchmarks/validate.py [--repeats 20]
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    command = [Path(sys.executable).parent / "hpo", "validate", ROOT / "studies" / "digits.yaml"]
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - start)
    first, *warm = seconds
    print(
        f"hpo validate studies/digits.yaml: median {statistics.median(warm):.2f} s,"
        f" lowest {min(warm):.2f} s, highest {max(warm):.2f} s"
        f" (n = {repeats}; the first, with cold files, {first:.2f} s)"
    )
    print(f"{os.cpu_count()} CPUs, Python {platform.python_version()}")


if __name__ == "__main__":
    main()
