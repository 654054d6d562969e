"""Measure the golden cases again, say what changed, and write tests/golden/metrics.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from metrics import CASES, FILE, differences, recorded


def main() -> None:
    """Rewrite the file."""
    old = recorded() if FILE.is_file() else {}
    new = {case.name: case.measure() for case in CASES}
    for name, found in new.items():
        for line in differences(name, old.get(name, {}), found):
            print(line)
    FILE.write_text(json.dumps(new, indent=2) + "\n")


if __name__ == "__main__":
    main()
