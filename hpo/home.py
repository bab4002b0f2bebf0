"""Where things lie on disk: the home folder and a study's folder in it."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hpo.errors import InputError

STUDY_NAME = re.compile(r"[a-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class StudyFolder:
    """The files of one study."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def study_file(self) -> Path:
        """The study file as it was submitted, byte for byte."""
        return self.root / "study.yaml"

    @property
    def spec(self) -> Path:
        """The study as it was understood: resolved space, settings and identity."""
        return self.root / "spec.json"

    @property
    def journal(self) -> Path:
        return self.root / "journal.jsonl"

    @property
    def best(self) -> Path:
        return self.root / "best.json"

    @property
    def report(self) -> Path:
        """A folder with the summary and its plots."""
        return self.root / "report"

    @property
    def log(self) -> Path:
        """What the engine said while the study ran."""
        return self.root / "engine.log"

    @property
    def final(self) -> StudyFolder:
        """The folder of its final stage, which has a record of its own."""
        return StudyFolder(self.root / "final")

    @property
    def plan(self) -> Path:
        """Of a final stage: its runs."""
        return self.root / "plan.json"

    @property
    def queue(self) -> Path:
        """Its place in the service's queue, once it was submitted."""
        return self.root / "queue.json"

    @property
    def code(self) -> Path:
        """A folder of what was shipped with it when it was submitted: a copy of the study file's
        folder, which its spec names."""
        return self.root / "code"

    @property
    def origin(self) -> Path:
        """Of the shipped code: what Git said of the folder that it was copied from."""
        return self.root / "origin.json"

    @property
    def bundles(self) -> Path:
        """A folder of what it has left for production, numbered."""
        return self.root / "bundles"

    @property
    def data(self) -> Path:
        """Digests of the data that its trials see."""
        return self.root / "data.json"

    @property
    def snapshot(self) -> Path:
        """How far it was when its runner last looked."""
        return self.root / "progress.json"

    def remove(self) -> None:
        """Removes everything, or, if it is cut short, leaves no study but what is to be cleared."""
        gone = self.root.with_name(f".{self.name}-{os.getpid()}")
        self.root.rename(gone)
        shutil.rmtree(gone)

    def trial(self, number: int) -> Path:
        return self.root / "trials" / f"{number:06d}"

    def metrics(self, number: int) -> Path:
        return self.trial(number) / "metrics.jsonl"

    def traceback(self, number: int) -> Path:
        return self.trial(number) / "traceback.txt"

    def output(self, number: int) -> Path:
        """What the trial printed, where it ran in a process of its own."""
        return self.trial(number) / "output.txt"

    def checkpoint(self, number: int) -> Path:
        return self.trial(number) / "checkpoint"


@dataclass(frozen=True, slots=True)
class Home:
    """`$HPO_HOME`, or `.hpo/` in the working folder."""

    root: Path

    @classmethod
    def default(cls) -> Home:
        return cls(Path(os.environ.get("HPO_HOME") or ".hpo").absolute())

    @classmethod
    def at(cls, home: str | Path | Home | None) -> Home:
        """The home in a folder; by default, the default one."""
        if isinstance(home, Home):
            return home
        return cls.default() if home is None else cls(Path(home).absolute())

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def service(self) -> Path:
        """A folder of what is known of its service; nobody else may look inside."""
        return self.root / "service"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    @property
    def bundles(self) -> Path:
        """Bundles that were downloaded, by identity."""
        return self.root / "bundles"

    def study(self, name: str) -> StudyFolder:
        """The folder of the study `name`, which cannot lie outside the home.

        Raises:
            InputError: the name is not 1 to 64 of `a-z 0-9 - _`.
        """
        if not STUDY_NAME.fullmatch(name):
            raise InputError(f"a study's name is 1 to 64 of a-z 0-9 - _, got {name!r}")
        return StudyFolder(self.root / "studies" / name)

    def studies(self) -> list[StudyFolder]:
        """Every study here, by name."""
        found = (self.root / "studies").glob("*/spec.json")
        # A study whose removal was cut short has another kind of name.
        named = (StudyFolder(p.parent) for p in found if STUDY_NAME.fullmatch(p.parent.name))
        return sorted(named, key=lambda study: study.name)

    def make(self) -> None:
        """Creates the folder.

        Raises:
            InputError: it cannot be created or written to.
        """
        if odd := set("?#%") & set(str(self.root)):
            raise InputError(
                f"the home folder's path must not hold {' '.join(sorted(odd))}, which mean"
                f" something else in the address of a database; got {self.root}",
                "set HPO_HOME to another folder",
            )
        probe = self.root / ".writable"
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise InputError(
                f"the home folder {self.root} cannot be written: {error.strerror or error}",
                "make it writable, or set HPO_HOME to a folder that is",
            ) from error
