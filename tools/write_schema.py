"""Write ``workflow/schemas/schema.json`` from the typed models: ``envs/run python tools/write_schema.py``.

With ``--check`` nothing is written; the exit status is 1 if the file is not what would be written.
"""

import argparse
import json
import sys

from scalarization.plan.schema import SCHEMA_FILE, json_schema


def main() -> int:
    """Write or check the file; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare the file instead of writing it")
    arguments = parser.parse_args()
    content = json.dumps(json_schema(), indent=2) + "\n"
    if not arguments.check:
        SCHEMA_FILE.write_text(content, encoding="utf-8")
        print(f"written to {SCHEMA_FILE}")
        return 0
    if SCHEMA_FILE.read_text(encoding="utf-8") == content:
        return 0
    print(f"{SCHEMA_FILE} is not in step with the models; run: envs/run python tools/write_schema.py", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
