"""Makes the scripts of ``tools`` importable, which are no package."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tools"))
