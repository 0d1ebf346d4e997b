"""`flowtui engine`: becomes an engine, the program that an `ssh://` engine starts on the other machine."""

from __future__ import annotations


def engine() -> None:
    """Answer a client's requests on stdin and stdout (started by flowtui itself)."""
    from flowtui.engine.process import serve

    serve()
