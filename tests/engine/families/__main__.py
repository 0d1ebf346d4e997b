"""`python -m tests.engine.families [--write]`: measures every family, prints the table, writes it to docs/models.md."""

from __future__ import annotations

import argparse
import sys

from flowtui.errors import FlowtuiError
from tests.engine.families.table import as_text, check, measure_all, write_document


def main() -> int:
    """Returns the exit code: 1 where an error is too large."""
    parser = argparse.ArgumentParser(prog="python -m tests.engine.families", description=__doc__)
    parser.add_argument("--write", action="store_true", help="also write the table into docs/models.md")
    write = parser.parse_args().write
    rows = measure_all(lambda name: print(name, file=sys.stderr))
    print(as_text(rows), end="")
    try:
        check(rows)
    except FlowtuiError as error:
        print(error, file=sys.stderr)
        return 1
    if write:
        write_document(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
