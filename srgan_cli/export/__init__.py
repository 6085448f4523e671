"""Weights files from other tools' checkpoints, and what a file of weights is."""
