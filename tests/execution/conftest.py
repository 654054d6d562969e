"""The models' text form and the comparison are in `segment_models`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
