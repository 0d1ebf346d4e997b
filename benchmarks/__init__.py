"""Measurements of the engine beside its peers; `make bench` runs them (docs/benchmarks.md)."""

from . import torchvision_ops

# Before any module here imports transformers, which looks for torchvision too.
torchvision_ops.declare()
