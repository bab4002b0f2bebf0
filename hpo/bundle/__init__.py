"""What goes to production: a folder that is written once, checked whenever it is read.

Needs pydantic alone, so that production code can read a bundle without ray, optuna or mlflow.
"""

from hpo.bundle.contents import Contents as Contents
from hpo.bundle.contents import Provenance as Provenance
from hpo.bundle.folder import WEIGHTS as WEIGHTS
from hpo.bundle.folder import Bundle as Bundle
from hpo.bundle.folder import newest as newest
from hpo.bundle.folder import numbered as numbered
from hpo.bundle.folder import open_bundle as open_bundle
from hpo.bundle.folder import write_bundle as write_bundle
from hpo.bundle.manifest import describe as describe
from hpo.bundle.manifest import read_manifest as read_manifest
