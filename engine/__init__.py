"""The analyses, in a process of their own. Never imports textual or rich."""

if __name__ != "flowtui.engine":
    raise ImportError("import this package as flowtui.engine, not as " + __name__)
