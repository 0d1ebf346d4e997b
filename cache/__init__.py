"""What is on disk: run files, per-layer tensors, keys. Imports neither of the other folders."""

if __name__ != "flowtui.cache":
    raise ImportError("import this package as flowtui.cache, not as " + __name__)
