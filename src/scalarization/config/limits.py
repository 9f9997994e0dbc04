"""The largest values of a preset: far above any experiment, and small enough that a slip of the keyboard is refused.

Sizes of what a preset expands to (cells, runs, steps) are counted before anything is expanded, see
:mod:`scalarization.plan.sizes`.
"""

from __future__ import annotations

#: Smallest normal number of float32 and its largest: networks compute with it, so a smaller number is 0 to them.
SMALLEST, LARGEST = 2.0**-126, (2 - 2.0**-23) * 2.0**127
#: Seeds are stored as integers of 64 bits.
SEED = 2**63 - 1
#: Cells of a preset, and runs of all of them. Preset `paper` has some 500 and 3,300.
CELLS, RUNS = 50_000, 1_000_000
#: Weight settings of one cell.
WEIGHT_SETTINGS = 100_000
#: Members of a search, and repetitions of it.
MEMBERS, REPETITIONS = 10_000, 1_000
#: Images of a batch, epochs of a run, steps of an epoch, steps of a run.
BATCH, EPOCHS, STEPS_PER_EPOCH, STEPS = 1_000_000, 1_000_000, 100_000_000, 1_000_000_000
#: Images that all runs of a preset are trained on.
IMAGES = 10**15
#: Layers, and channels or sizes of an embedding.
DEPTH, WIDTH = 1_000, 16_384
#: Threads of a process, and processes or nodes of a job.
THREADS = 10_000
#: Main memory of a job in MB.
MEMORY = 100_000_000
#: Seconds, and minutes: ten years.
SECONDS, MINUTES = 10 * 366 * 24 * 3600, 10 * 366 * 24 * 60
