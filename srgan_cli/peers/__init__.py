"""Checkpoints of other tools and of runs: opened safely, recognised, and given our names."""
