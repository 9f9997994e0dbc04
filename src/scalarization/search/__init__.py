"""Search of task weights with Ray Tune (appendix 5): PBT, PB2, and grid and random search on the same budget."""
