"""What `flowtui show --json` says of each analysis: one module each, with one entry point `content`."""

if __name__ != "flowtui.tui.content":
    raise ImportError("import this package as flowtui.tui.content, not as " + __name__)
