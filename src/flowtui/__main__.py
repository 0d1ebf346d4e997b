"""`python -m flowtui` is the `flowtui` command."""

from flowtui.tui.cli import main

if __name__ == "__main__":
    main()
