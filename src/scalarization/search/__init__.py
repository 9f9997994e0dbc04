"""Search of task weights with Ray Tune (appendix 5): PBT, PB2; on the same budget grid, random and learning rates."""
