"""flowtui: explore, layer by layer, where a vision-language model takes its answer from."""

__version__ = "0.1.0"
