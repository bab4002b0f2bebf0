"""A cluster and an MLflow server that others run, as on Kubernetes: taken for a home's service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from service_site import Site

PASSWORD = "correct horse battery staple"
