"""What is shipped: the study file's folder as Git sees it, within its limit."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hpo.errors import InputError
from hpo.service.shipping import keep_only, pack, unpack


def write(folder: Path, *names: str, text: str = "x") -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def shipped(folder: Path, **options) -> list[str]:
    return sorted(str(p) for p in pack(folder, folder / ".hpo", **options).files)


def test_what_git_ignores_stays(tmp_path: Path) -> None:
    write(tmp_path, "study.yaml", "train.py", "data/big.bin", "keep.log", "a.log", ".hpo/mlflow.db")
    write(tmp_path, "lib/a.log", "lib/mine.py", "lib/cache/x", "lib/cache/keep", ".git/config")
    write(tmp_path, ".gitignore", text="*.log\n!keep.log\ndata/\n/lib/cache/*\n")
    write(tmp_path, "lib/.gitignore", text="!a.log\n!cache/keep\n")
    expected = [
        ".gitignore",
        "keep.log",
        "lib/.gitignore",
        "lib/a.log",
        "lib/cache/keep",
        "lib/mine.py",
        "study.yaml",
        "train.py",
    ]
    assert shipped(tmp_path) == expected
    subprocess.run(["git", "init", "-q", "again"], cwd=tmp_path, check=True)
    shipment = pack(tmp_path, tmp_path / ".hpo")
    code = unpack(shipment, tmp_path / "again")
    listed = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=code,
        check=True,
        capture_output=True,
        text=True,
    )
    assert sorted(listed.stdout.split()) == [e for e in expected if not e.startswith("again")]


def test_a_folder_that_is_too_large_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "study.yaml")
    write(tmp_path, "weights.bin", text="x" * 3_000_000)
    with pytest.raises(InputError, match=r"at most 1 MB .* got 3 MB; the largest: weights\.bin"):
        pack(tmp_path, tmp_path / ".hpo", max_bytes=1 << 20)


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "outside.py", "study/study.yaml", "study/real.py")
    (tmp_path / "study" / "near.py").symlink_to("real.py")
    assert shipped(tmp_path / "study") == ["near.py", "real.py", "study.yaml"]
    (tmp_path / "study" / "far.py").symlink_to("../outside.py")
    with pytest.raises(InputError, match=r"far\.py leads out of the study file's folder"):
        shipped(tmp_path / "study")


def test_what_was_shipped_before_stays_until_it_is_named_no_more(tmp_path: Path) -> None:
    write(tmp_path, "study/study.yaml")
    first = unpack(pack(tmp_path / "study", tmp_path), tmp_path / "code")
    write(tmp_path, "study/more.py")
    second = unpack(pack(tmp_path / "study", tmp_path), tmp_path / "code")
    assert [path.name for path in first.iterdir()] == ["study.yaml"]
    assert sorted(path.name for path in second.iterdir()) == ["more.py", "study.yaml"]
    keep_only(second)
    assert list((tmp_path / "code").iterdir()) == [second]


def test_what_cannot_be_copied_leaves_nothing(tmp_path: Path) -> None:
    write(tmp_path, "study/a.py", "study/study.yaml")
    shipment = pack(tmp_path / "study", tmp_path)
    (tmp_path / "study" / "study.yaml").unlink()
    with pytest.raises(FileNotFoundError):
        unpack(shipment, tmp_path / "code")
    assert list((tmp_path / "code").iterdir()) == []


def test_what_is_no_file_is_refused_before_anything_is_copied(tmp_path: Path) -> None:
    write(tmp_path, "study.yaml", "lib/a.py")
    odd = tmp_path / "odd"
    for make, words in (
        (lambda: odd.symlink_to("lib"), "is no file"),
        (lambda: odd.symlink_to("nowhere"), "is a link that leads nowhere"),
        (lambda: odd.symlink_to("odd"), "is a link that leads nowhere"),
        (lambda: os.mkfifo(odd), "is no file"),
    ):
        make()
        with pytest.raises(InputError, match=f"odd {words}"):
            shipped(tmp_path)
        odd.unlink()


def test_lines_that_are_no_patterns_mean_nothing(tmp_path: Path) -> None:
    write(tmp_path, "study.yaml", "a.log")
    write(tmp_path, ".gitignore", text="!\n*.log\n")
    assert shipped(tmp_path) == [".gitignore", "study.yaml"]


def test_the_rules_of_the_repository_around_it_count(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    write(tmp_path, ".gitignore", text="*.secret\n")
    write(tmp_path, ".git/info/exclude", text="*.mine\n")
    write(tmp_path, "sub/study.yaml", "sub/k.secret", "sub/k.mine", "sub/deep/k.secret")
    assert shipped(tmp_path / "sub") == ["study.yaml"]


def test_a_folder_that_the_repository_ignores_is_shipped_as_it_is(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    write(tmp_path, ".gitignore", text="/scratch/\n")
    write(tmp_path, "scratch/study.yaml", "scratch/train.py")
    assert shipped(tmp_path / "scratch") == ["study.yaml", "train.py"]
