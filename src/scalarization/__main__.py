"""Entry point of ``python -m scalarization``."""

import sys

from scalarization.cli import main

sys.exit(main())
