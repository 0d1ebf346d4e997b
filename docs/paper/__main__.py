"""`python -m docs.paper`: runs everything, draws the pictures and writes the page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .claims import Results
from .findings import aim_of, blind_items
from .page import page
from .pictures import write_pictures
from .steps import ASKED, ROOT, SWEPT, Workshop

HERE = Path(__file__).parent
LANES = 2


def main() -> None:
    """Computes what is not there yet, then writes docs/paper.md."""
    parser = argparse.ArgumentParser(description="The paper's figures and table on the demo world.")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "paper", help="where runs and sweeps are kept")
    parser.add_argument("--into", type=Path, default=HERE.parent, help="where paper.md and its pictures go")
    parser.add_argument("--lanes", type=int, default=LANES, help="commands side by side")
    options = parser.parse_args()
    shop = Workshop(options.work, options.lanes)
    shop.prepare()
    shop.compute()
    runs, sweeps = shop.read()
    write_pictures(options.work, sweeps, options.into / "paper" / "figures")
    answers = {name: content["answer"]["text"] for name, content in runs.items()}
    (options.into / "paper.md").write_text(page(gather(options.work, runs, sweeps), answers), "utf-8")


def gather(work: Path, runs: dict[str, Any], sweeps: dict[str, Any]) -> Results:
    """What the page speaks about, from contents by name and the items' tables."""
    seen = {asked.like: runs[asked.name] for asked in ASKED if asked.box is not None}
    blind = next(runs[asked.name] for asked in ASKED if asked.box is None)
    return Results(
        layers=blind["layers"],
        image_tokens=blind["image_tokens"],
        flows={like: _into_answer(content["saliency"]["flow"]) for like, content in seen.items()},
        shares={like: content["attention"]["share"] for like, content in seen.items()},
        aims={like: aim_of(content) for like, content in seen.items()},
        blind=blind,
        sweeps=sweeps,
        flat={swept.name: blind_items(work / swept.name / "items.csv") for swept in SWEPT if swept.kinds},
    )


def _into_answer(flow: dict[str, list[float]]) -> dict[str, list[float]]:
    return {name.removesuffix("->answer"): values for name, values in flow.items() if name.endswith("->answer")}


if __name__ == "__main__":
    main()
