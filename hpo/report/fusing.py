"""Which trials of a study would train together, and why others would not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from hpo.records import Json, canonical
from hpo.report.words import count
from hpo.space import Draw
from hpo.studyfile import Study
from hpo.trainable import fusion_key

LOOKED_AT = 64
"""Configs from which is told what fuses."""


def lines(study: Study, draws: Sequence[Draw]) -> Iterator[str]:
    """For people, of a study whose trials may train together.

    Args:
        draws: its first configs, some `LOOKED_AT` of them.
    """
    pack = study.file.resources.pack
    packs: defaultdict[str, list[Draw]] = defaultdict(list)
    alone = 0
    for draw in draws:
        key = fusion_key(study.trainable, draw.config)
        if key is None:
            alone += 1
        else:
            packs[key].append(draw)
    if alone == len(draws):
        yield "packs: every trial trains alone, since this trainable cannot train several together"
        return
    for group in packs.values():
        why = study.trainable.why_alone(study.space.config(group[0].config), study.folder)
        if why:
            yield f"packs: every trial trains alone: {why}"
            return
    width = f"at most {pack}" if isinstance(pack, int) else "as many as fit into memory"
    yield (
        f"packs: {width} train together; the first {count(len(draws), 'config')} fall into"
        f" {count(len(packs), 'group')} of {_sizes(packs.values())} that can"
    )
    if alone:
        yield f"packs: {count(alone, 'config')} of these train alone"
    if apart := _structural(list(packs.values())):
        yield f"packs: trials that differ in {', '.join(apart)} do not train together"


def _sizes(groups: Iterable[Sequence[Draw]]) -> str:
    sizes = sorted((len(group) for group in groups), reverse=True)
    return ", ".join(map(str, sizes[:8])) + (", ..." if len(sizes) > 8 else "")


def _structural(groups: Sequence[Sequence[Draw]]) -> list[str]:
    """Parameters that have one value in every group of several, but not in all together."""

    def values(group: Sequence[Draw], name: str) -> set[Json]:
        return {canonical(draw.params.get(name)) for draw in group}

    several = [group for group in groups if len(group) > 1]
    if not several:
        return []
    every = [draw for group in groups for draw in group]
    names = list(dict.fromkeys(name for draw in every for name in draw.params))
    return [
        name
        for name in names
        if len(values(every, name)) > 1 and all(len(values(group, name)) == 1 for group in several)
    ]
