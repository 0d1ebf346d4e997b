"""The `flowtui` command. Nothing heavy is imported before a command runs: `flowtui --help` answers at once."""

from .entry import main

__all__ = ["main"]
