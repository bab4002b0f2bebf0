"""Initializers that draw. To add one: copy a neighbour, and add it to the union."""

from __future__ import annotations

from hpo.train.initializers.fixed import Constant, Normal, TruncatedNormal, Uniform
from hpo.train.initializers.orthogonal import Orthogonal
from hpo.train.initializers.scaled import Kaiming, Xavier
from hpo.train.initializers.sparse import Sparse

Drawn = Kaiming | Xavier | Orthogonal | Normal | TruncatedNormal | Uniform | Sparse | Constant
