"""Search spaces: from YAML to a checked tree of distributions."""

from hpo.space.check import check, probes
from hpo.space.document import Document, Keys, dotted, parse, parse_value, read
from hpo.space.extend import extension
from hpo.space.locate import OutsideSpace, locate
from hpo.space.ranges import Range, Scale
from hpo.space.space import Space, typed
from hpo.space.tree import Choices, Draw, Located, Node, Parameter

__all__ = [
    "Choices",
    "Document",
    "Draw",
    "Keys",
    "Located",
    "Node",
    "OutsideSpace",
    "Parameter",
    "Range",
    "Scale",
    "Space",
    "check",
    "dotted",
    "extension",
    "locate",
    "parse",
    "parse_value",
    "probes",
    "read",
    "typed",
]
