"""Prints ratios measured side by side: ``envs/run python performance [--tiny] [NAME ...]``.

Each comparison measures its sides in turn and reports the median of the ratios of neighbouring measurements, so that
other load on the machine slows both sides. Run it on a machine that does nothing else, and put results worth keeping
into RESULTS.md. ``--tiny`` uses the smallest sizes and one round, only to see that the measurements work.
"""

import argparse
import importlib

#: Modules in this folder.
MEASUREMENTS = ("conflicts", "harness", "loader", "encoded", "methods", "startup", "workflow")


def main():
    """Print the lines of the measurements that the command line names."""
    parser = argparse.ArgumentParser(prog="python performance", description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(MEASUREMENTS)}; default: all")
    parser.add_argument("--tiny", action="store_true", help="smallest sizes, one round: only to see that it works")
    options = parser.parse_args()
    unknown = [name for name in options.names if name not in MEASUREMENTS]
    if unknown:
        parser.error(f"unknown measurement {', '.join(unknown)}; known: {', '.join(MEASUREMENTS)}")
    for name in options.names or MEASUREMENTS:
        measurement = importlib.import_module(name)
        print(f"== {name}: {measurement.__doc__.splitlines()[0]}", flush=True)
        for line in measurement.measure(options.tiny):
            print(f"   {line}", flush=True)


if __name__ == "__main__":
    main()
