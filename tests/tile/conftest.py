"""Makes the generators of this directory importable and keeps hypothesis quick and reproducible."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
