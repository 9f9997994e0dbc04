"""What jobs request from a cluster, and how stuck Slurm jobs are requeued."""
