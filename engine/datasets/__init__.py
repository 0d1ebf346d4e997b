"""Data sets: readers of the official files, and the demo world's own. Torch-free."""
