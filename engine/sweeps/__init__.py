"""Sweeps: the truncation curve of every item of a data set, kept item by item."""
