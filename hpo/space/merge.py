"""Fragments of one tree laid over each other."""

from __future__ import annotations

from hpo.records import Json
from hpo.space.build import is_distribution
from hpo.space.document import Document, Keys


def merge(base: Document, over: Document) -> Document:
    """`base` with everything in `over` on top of it; mappings are merged key by key.

    A distribution, a list or a mapping of another `kind` replaces what was there as a whole.
    """
    merged = Document(None)

    def take(source: Document, data: Json, path: Keys) -> Json:
        """The data as it is, with its places."""
        note(source, path)
        children = data.items() if isinstance(data, dict) else ()
        for key, child in enumerate(data) if isinstance(data, list) else children:
            take(source, child, (*path, key))
        return data

    def note(source: Document, path: Keys) -> None:
        for places, into in ((source.values, merged.values), (source.keys, merged.keys)):
            if path in places:
                into[path] = places[path]

    def walk(below: Json, above: Json, path: Keys) -> Json:
        if not _mergeable(below, above):
            return take(over, above, path)
        note(over, path)
        both = {}
        for key in (*below, *(k for k in above if k not in below)):
            inner = (*path, key)
            if key not in above:
                both[key] = take(base, below[key], inner)
            elif key not in below:
                both[key] = take(over, above[key], inner)
            else:
                both[key] = walk(below[key], above[key], inner)
        return both

    merged.data = walk(base.data, over.data, ())
    return merged


def _mergeable(below: Json, above: Json) -> bool:
    return (
        isinstance(below, dict)
        and isinstance(above, dict)
        and not is_distribution(below)
        and not is_distribution(above)
        and above.get("kind", below.get("kind")) == below.get("kind", above.get("kind"))
    )
