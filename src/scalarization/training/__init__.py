"""Training loop, schedule, evaluation, checkpoints, and the job around them."""
