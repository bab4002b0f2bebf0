"""Search spaces: from YAML to a checked tree of distributions."""

from hpo.space.check import check, probes
from hpo.space.document import Document, Keys, dotted, parse, parse_value, read
from hpo.space.space import Space, typed
from hpo.space.tree import Choices, Draw, Located, Node, Parameter, Range

__all__ = [
    "Choices",
    "Document",
    "Draw",
    "Keys",
    "Located",
    "Node",
    "Parameter",
    "Range",
    "Space",
    "check",
    "dotted",
    "parse",
    "parse_value",
    "probes",
    "read",
    "typed",
]
