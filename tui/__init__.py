"""All that a person sees: command line, explorer, drawing. Never imports torch or transformers."""

if __name__ != "flowtui.tui":
    raise ImportError("import this package as flowtui.tui, not as " + __name__)
