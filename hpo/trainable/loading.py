"""From the text in a study file to a trainable."""

from __future__ import annotations

import importlib
import inspect
import os.path
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast, get_type_hints

from pydantic import BaseModel

from hpo.errors import TrainableError
from hpo.trainable.contract import FunctionTrainable, Trainable

BUILTIN = "builtin"
_BUILTIN_MODULE = "hpo.train.builtin"  # by name: training lies above this contract


def load(reference: str, folder: Path | None) -> Trainable:
    """The trainable named by `builtin` or `package.module:name`.

    The module is looked up in `folder` (the study file's) first, if there is one, then as Python
    does. `folder` stays on `sys.path`, since the module may import its neighbours later.

    Raises:
        TrainableError: there is no such module or name, importing it fails, or the function's
            signature is not `(config, trial)`.
    """
    if reference == BUILTIN:
        # Not by way of the folder: the user may well have a package of the name `hpo` there.
        return cast(Trainable, importlib.import_module(_BUILTIN_MODULE).trainer)
    found = find(reference, folder)
    if isinstance(found, Trainable):
        return found
    if inspect.isclass(found) or not callable(found):
        raise TrainableError(
            f"{reference!r} must be a function or an instance of hpo.Trainable, "
            f"got {found if inspect.isclass(found) else type(found).__name__}"
        )
    if inspect.iscoroutinefunction(found) or inspect.isgeneratorfunction(found):
        raise TrainableError(
            f"{reference!r} must return its metrics, an async or generator function does not",
            "write a plain function: def train(config: MyConfig, trial: hpo.Trial) -> dict",
        )
    return FunctionTrainable(found, _config_type(found, reference))


def find(reference: str, folder: Path | None) -> Any:
    """Whatever `package.module:name` names, looked up in `folder` first, if there is one.

    Raises:
        TrainableError: there is no such module or name, or importing it fails.
    """
    module_name, separator, name = reference.partition(":")
    if not (separator and module_name and name):
        raise TrainableError(
            f"a trainable is 'builtin' or 'package.module:function', got {reference!r}"
        )
    found = _import(module_name, folder, reference)
    for part in name.split("."):
        if not hasattr(found, part):
            inside = getattr(found, "__dict__", {})
            names = [n for n, v in inside.items() if callable(v) and not n.startswith("_")]
            raise TrainableError(
                f"{reference!r}: module {module_name} has no {part!r}",
                f"it has: {', '.join(sorted(names))}" if names else "",
            )
        found = getattr(found, part)
    return found


def _import(module_name: str, folder: Path | None, reference: str) -> Any:
    if folder is not None:
        path = str(folder.resolve())
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
        if module_name.partition(".")[0] != "hpo":
            _forget_namesake(module_name.partition(".")[0], folder.resolve())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(error.name + ".")):
            raise TrainableError(
                f"{reference!r}: there is no module {error.name!r}",
                f"it is looked up in {folder} first, then among the installed packages and on"
                " PYTHONPATH"
                if folder
                else "install it, put its folder on PYTHONPATH, or name that folder as code",
            ) from None
        raise TrainableError(
            f"{reference!r}: importing {module_name} needs {error.name!r}, which is not installed",
            f"install it where hpo runs: pip install {error.name}",
        ) from error
    except (Exception, SystemExit) as error:  # a script may well end itself
        where = _last_place(error)
        raise TrainableError(
            f"{reference!r}: importing {module_name} failed: {type(error).__name__}: {error}{where}"
        ) from error


def _forget_namesake(top: str, folder: Path) -> None:
    """Two studies in two folders may both have a `train.py`: the one of this folder is meant."""
    # `os.path.exists`: a name from a study file may be too long for the file system.
    here = folder / f"{top}.py"
    if not os.path.exists(here):
        here = folder / top / "__init__.py"
    loaded = getattr(sys.modules.get(top), "__file__", None)
    if os.path.exists(here) and loaded and Path(loaded).resolve() != here.resolve():
        for name in [n for n in sys.modules if n == top or n.startswith(top + ".")]:
            del sys.modules[name]


def _last_place(error: BaseException) -> str:
    traceback = error.__traceback__
    place = ""
    while traceback:
        frame = traceback.tb_frame
        if "importlib" not in frame.f_code.co_filename and "hpo/trainable" not in (
            frame.f_code.co_filename
        ):
            place = f" ({frame.f_code.co_filename}:{traceback.tb_lineno})"
        traceback = traceback.tb_next
    return place


def _config_type(function: Callable[..., Any], reference: str) -> type[BaseModel] | None:
    """The Pydantic model that the function's first parameter is annotated with."""
    try:
        signature = inspect.signature(function)
    except ValueError:
        raise TrainableError(
            f"{reference!r} must take (config, trial), its signature cannot be read",
            "wrap it: def train(config: MyConfig, trial: hpo.Trial) -> dict",
        ) from None
    positional = [
        p
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    required_keywords = [
        p
        for p in signature.parameters.values()
        if p.kind is p.KEYWORD_ONLY and p.default is p.empty
    ]
    extra = [p for p in positional[2:] if p.default is p.empty]
    if len(positional) < 2 or extra or required_keywords:
        raise TrainableError(
            f"{reference!r} must take (config, trial), its signature is {signature}",
            "write: def train(config: MyConfig, trial: hpo.Trial) -> dict",
        )
    try:
        # The hints of an object that can be called are those of its __call__.
        written = function if inspect.isroutine(function) else type(function).__call__
        annotation = get_type_hints(written).get(positional[0].name)
    except Exception as error:
        raise TrainableError(
            f"{reference!r}: the annotations of its signature {signature} cannot be read: {error}"
        ) from error
    if annotation is None or annotation is dict or getattr(annotation, "__origin__", None) is dict:
        return None
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    raise TrainableError(
        f"{reference!r}: its first parameter is annotated {annotation!r}",
        "annotate it with a Pydantic model, or with dict, or not at all",
    )
