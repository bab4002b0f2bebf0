"""The command line: commands, no logic."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from hpo.cli import look, reuse, running, service
from hpo.cli.app import app
from hpo.errors import HpoError, StudyFailed

__all__ = ["app", "look", "main", "reuse", "running", "service"]  # the modules register commands


def main() -> None:
    """The entry point: errors of the project are told in its own words, without a traceback."""
    try:
        app()
    except HpoError as error:
        kind = "the study failed: " if isinstance(error, StudyFailed) else ""
        Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(f"{kind}{error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # whoever reads our output has gone, as head does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        Console(stderr=True, soft_wrap=True, markup=False).print(str(error))
        sys.exit(1)
