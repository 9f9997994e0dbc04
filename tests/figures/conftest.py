"""Make ``synthetic`` importable: pytest's importlib mode adds no directory to the path."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "analysis"))
