"""The paper's figures and tables in kind, on the demo world: `python -m docs.paper` writes docs/paper.md."""
