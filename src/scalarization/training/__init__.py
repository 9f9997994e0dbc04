"""Training loop, steps of each kind of method, evaluation, checkpoints, conflicts, profile, and the jobs that train."""
