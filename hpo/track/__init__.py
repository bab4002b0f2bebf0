"""Where people look at a study: MLflow. Importing this package does not import it."""

from hpo.track.base import CurvePoint as CurvePoint
from hpo.track.base import Ending as Ending
from hpo.track.base import NoTracker as NoTracker
from hpo.track.base import StudyPage as StudyPage
from hpo.track.base import Tracker as Tracker
from hpo.track.base import TrialPage as TrialPage
from hpo.track.memory import MemoryTracker as MemoryTracker
from hpo.track.mlflow import MlflowTracker as MlflowTracker
from hpo.track.publisher import Publisher as Publisher
from hpo.track.settings import TrackingSettings as TrackingSettings
from hpo.track.settings import open_tracker as open_tracker
