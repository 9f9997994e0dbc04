"""Scalarization for multi-task and multi-domain learning at scale: a reproducibility pipeline."""

__version__ = "0.1.0"
