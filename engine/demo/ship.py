"""Writes what the package ships besides weights: `python -m flowtui.engine.demo.ship`.

Eight evaluation scenes with questions, answers and masks go to engine/demo/scenes; with `--runs DIR`, one finished run
per kind of question goes to DIR, made by the shipped model through the same engine process as any other run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from flowtui.cache.runfile import write_plain
from flowtui.engine.client import EngineClient
from flowtui.engine.spec import ANALYSES, PARAMETERS, RunSpec
from flowtui.engine.workflow import Request, complete, create_run

from .examples import SCENES, Example, first_of
from .questions import KINDS, Question, ask
from .world import COLOURS, Scene, render, scenes

SEED = 8


def choose(seed: int) -> list[tuple[Scene, list[Question]]]:
    """Eight three-thing evaluation scenes, each with one question of every kind it allows, its own kind first."""
    rng, stream = np.random.default_rng((seed, 11)), scenes(seed, "evaluation", (3, 3))
    chosen: list[tuple[Scene, list[Question]]] = []
    for kind in (*KINDS, "presence"):
        while True:
            scene = next(stream)
            found = {k: ask(scene, k, rng) for k in KINDS}
            questions = [q for k, q in found.items() if q is not None and k != kind]
            own = found[kind]
            # The eighth scene shows a presence question whose answer is no.
            wanted = {"presence": "no" if len(chosen) == len(KINDS) else "yes"}.get(kind)
            if own is not None and wanted in (None, own.answer) and len(questions) == len(KINDS) - 1:
                chosen.append((scene, [own, *questions]))
                break
    return chosen


def write_scenes(folder: Path) -> None:
    """Writes PNGs, label images and scenes.json."""
    folder.mkdir(parents=True, exist_ok=True)
    palette = [0, 0, 0] + [v for colour in list(COLOURS.values())[:3] for v in colour]
    entries = []
    for number, (scene, questions) in enumerate(choose(SEED), 1):
        image, masks = render(scene)
        labels = (masks * np.arange(1, len(masks) + 1, dtype=np.uint8)[:, None, None]).max(0)
        Image.fromarray(image).save(folder / f"scene-{number}.png", optimize=True)
        label_image = Image.fromarray(labels, "P")
        label_image.putpalette(palette)
        label_image.save(folder / f"scene-{number}.mask.png", optimize=True)
        asked = [{"kind": q.kind, "question": q.text, "answer": q.answer, "about": list(q.about)} for q in questions]
        entries.append(
            {
                "image": f"scene-{number}.png",
                "mask": f"scene-{number}.mask.png",
                "things": [asdict(t) for t in scene.things],
                "questions": asked,
            }
        )
    (folder / "scenes.json").write_text(json.dumps(entries, indent=1) + "\n", "utf-8")


async def write_run(example: Example, path: Path) -> str:
    """Runs every analysis on one example and writes the run file; returns the model's answer."""
    spec = RunSpec(model="demo", images=(example.image.read_bytes(),), question=example.question, device="cpu")
    async with await EngineClient.start("local") as client:
        run = await create_run(spec, client=client, on_progress=lambda _: None)
        requests = [Request(name, PARAMETERS[name]()) for name in ANALYSES]
        async for update in complete(run, requests, cache=None, client=client):
            run = update.run
    write_plain(path, run.to_plain())
    return run.answer.text


def main() -> None:
    """Writes the scenes and, where asked for, the runs."""
    parser = argparse.ArgumentParser(description="Write the shipped scenes and example runs.")
    parser.add_argument("--runs", type=Path, help="folder for one finished run per kind")
    options = parser.parse_args()
    write_scenes(SCENES)
    if options.runs:
        options.runs.mkdir(parents=True, exist_ok=True)
        for kind in KINDS:
            example = first_of(kind)
            answer = asyncio.run(write_run(example, options.runs / f"{kind}.pkl"))
            print(f"{kind}: {example.question} -> {answer} (correct: {example.answer})")


if __name__ == "__main__":
    main()
