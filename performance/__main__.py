"""Prints ratios measured side by side: ``envs/run python performance [NAME ...]``.

Names: conflicts, harness, loader, encoded, methods, startup, workflow; all of them without an argument. Each comparison
interleaves its sides and reports the median of the ratios of neighbouring measurements, so that a machine that is busy
for a while slows all. Run it on a machine that does nothing else; results that are worth keeping go into RESULTS.md.
"""

import sys

import conflicts
import encoded
import harness
import loader
import methods
import startup

import workflow

MEASUREMENTS = {
    "conflicts": conflicts,
    "harness": harness,
    "loader": loader,
    "encoded": encoded,
    "methods": methods,
    "startup": startup,
    "workflow": workflow,
}

if __name__ == "__main__":
    names = sys.argv[1:] or list(MEASUREMENTS)
    unknown = [n for n in names if n not in MEASUREMENTS]
    if unknown:
        sys.exit(f"unknown measurement {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    for name in names:
        print(f"== {name}: {MEASUREMENTS[name].__doc__.splitlines()[0]}", flush=True)
        for line in MEASUREMENTS[name].measure():
            print(f"   {line}", flush=True)
