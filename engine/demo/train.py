"""Trains the demo model: `python -m flowtui.engine.demo.train --out DIR`.

Three stages, each resumable from the checkpoint of the one before:

1. `vision`: the tower and the projector alone. Each patch inside a thing's box is classified by colour, name, row,
   column and reading order, with the language model's own word embeddings as classifier rows, so that image tokens and
   words share one space from the start; joint colour-and-name classes keep the two bound together.
2. `language`: a shallow decoder learns the questions, many per image in one sequence with a block-diagonal mask (the
   image tokens are paid for once). Scenes grow from one thing to three; kinds that lag are drawn more often.
3. `grow`: layers whose output projections are zero are put between the trained ones, which leaves the function as it
   was, then the whole decoder is trained at full depth while the rate falls to zero.

Matrices are updated by Muon (Jordan et al. 2024), everything else by AdamW. All random numbers come from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration

from .model import LAYERS, build_model, save
from .optim import optimisers, set_rate, update
from .packing import Packer, answer_logits, answers_right, pixels_of
from .practice import practise
from .progress import log, report
from .questions import KINDS, Question, ask
from .vision import train_vision
from .world import Scene, render, scenes


def train_questions(
    model: LlavaForConditionalGeneration,
    stage: str,
    steps: int,
    batch: int,
    per_image: int,
    seed: int,
    *,
    tower: bool,
    extra: int,
    muon_lr: float,
    grow_until: int,
    floor: float,
    flat: float,
    checkpoint: Callable[[int], None],
    minutes: float,
) -> None:
    """Stages 2 and 3, in place. Ends early, rate already low, when `minutes` have passed."""
    model.requires_grad_(True)
    model.model.vision_tower.requires_grad_(tower)
    chosen = optimisers(model, muon_lr=muon_lr, adam_lr=muon_lr / 10)
    packer, rng = Packer(), np.random.default_rng((seed, 7))
    streams = [scenes(seed + 1 + most, "train", (1, most)) for most in (1, 2, 3)]
    right: dict[str, float] = dict.fromkeys((*KINDS, "practice"), 0.0)
    losses: list[float] = []
    start = time.monotonic()
    step = 0
    while step < steps:
        elapsed = (time.monotonic() - start) / 60 / minutes
        progress = max(step / steps, min(1.0, elapsed))
        if progress >= 1:
            break
        set_rate(chosen, max(step, round(progress * steps)) if step > 30 else step, steps, floor=floor, flat=flat)
        stream = streams[min(2, step * 3 // max(1, grow_until)) if grow_until else 2]
        drawn = [next(stream) for _ in range(batch)]
        chance = np.array([0.12 + 1 - right[k] for k in KINDS])
        asked = [draw_questions(s, per_image - extra, rng, chance / chance.sum()) for s in drawn]
        practised = [[practise(s, rng) for _ in range(extra)] for s in drawn]
        batched = packer.pack([a + p for a, p in zip(asked, practised, strict=True)])
        pixels = pixels_of([render(s)[0] for s in drawn])
        with torch.set_grad_enabled(tower):
            hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        logits, targets = answer_logits(model, batched, model.model.multi_modal_projector(hidden))
        loss = F.cross_entropy(logits, targets)
        update(chosen, loss, model.parameters())
        losses.append(loss.item())
        for image, i, fine in answers_right(batched, logits):
            kind = batched.questions[image][i].kind if i < per_image - extra else "practice"
            right[kind] += 0.004 * (fine - right[kind])
        step += 1
        if step % 25 == 0:
            report(stage, step, start, loss=float(np.mean(losses[-25:])), **right)
        if step % 100 == 0:
            checkpoint(step)


def draw_questions(scene: Scene, count: int, rng: np.random.Generator, chance: NDArray[np.float64]) -> list[Question]:
    """Draws `count` questions about a scene, kinds by `chance`."""
    asked: list[Question] = []
    while len(asked) < count:
        question = ask(scene, KINDS[int(rng.choice(len(KINDS), p=chance))], rng)
        if question is not None:
            asked.append(question)
    return asked


def grow(model: LlavaForConditionalGeneration, layers: int) -> LlavaForConditionalGeneration:
    """Deepens the decoder to `layers`, the function unchanged: new layers sit between the old ones and add zero."""
    deeper = build_model(layers)
    state: dict[str, Any] = dict(model.state_dict())
    old = model.config.text_config.num_hidden_layers
    prefix = "model.language_model.layers."
    places = [i * layers // old for i in range(old)]
    moved = {k: v for k, v in state.items() if not k.startswith(prefix)}
    for name, value in state.items():
        if name.startswith(prefix):
            index, rest = name.removeprefix(prefix).split(".", 1)
            moved[f"{prefix}{places[int(index)]}.{rest}"] = value
    deeper.load_state_dict(moved, strict=False)
    for i, layer in enumerate(deeper.model.language_model.layers):
        if i not in places:
            nn.init.zeros_(layer.self_attn.o_proj.weight)
            nn.init.zeros_(layer.mlp.down_proj.weight)
    return deeper


def main() -> None:
    """Runs the stages that have no checkpoint yet."""
    parser = argparse.ArgumentParser(description="Train the flowtui demo model.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--vision-steps", type=int, default=1000)
    parser.add_argument("--language-steps", type=int, default=2000)
    parser.add_argument("--grow-steps", type=int, default=1500)
    parser.add_argument("--language-minutes", type=float, default=1e9)
    parser.add_argument("--grow-minutes", type=float, default=1e9)
    parser.add_argument(
        "--easy-steps", type=int, default=300, help="language steps on the way from one to three things"
    )
    parser.add_argument("--language-rate", type=float, default=0.02, help="Muon's rate in the language stage")
    parser.add_argument("--language-floor", type=float, default=0.05, help="part of that rate left at the stage's end")
    parser.add_argument("--grow-rate", type=float, default=0.005, help="Muon's rate in the grow stage")
    parser.add_argument("--grow-tower", action="store_true", help="train the vision tower in the grow stage too")
    parser.add_argument("--shallow", type=int, default=6)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--questions", type=int, default=16)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    log.addHandler(logging.FileHandler(options.out / "train.log"))
    log.info(json.dumps({"options": {k: str(v) for k, v in vars(options).items()}}))

    def file(stage: str) -> Path:
        return Path(options.out / f"{stage}.pt")

    torch.manual_seed(options.seed)
    model = build_model(options.shallow)
    if file("vision").exists():
        model.load_state_dict(torch.load(file("vision")))
    else:
        train_vision(model, options.vision_steps, 64, options.seed)
        torch.save(model.state_dict(), file("vision"))
    common = {"batch": options.batch, "per_image": options.questions}
    if file("language").exists():
        model.load_state_dict(torch.load(file("language")))
    else:
        if file("language-part").exists():
            model.load_state_dict(torch.load(file("language-part")))
        train_questions(
            model,
            "language",
            options.language_steps,
            seed=options.seed + 100,
            tower=False,
            extra=4,
            muon_lr=options.language_rate,
            grow_until=options.easy_steps,
            floor=options.language_floor,
            flat=0.6,
            minutes=options.language_minutes,
            checkpoint=lambda step: torch.save(model.state_dict(), file("language-part")),
            **common,
        )
        torch.save(model.state_dict(), file("language"))
    model = grow(model, LAYERS)
    train_questions(
        model,
        "grow",
        options.grow_steps,
        seed=options.seed + 200,
        tower=options.grow_tower,
        extra=2,
        muon_lr=options.grow_rate,
        grow_until=0,
        floor=0.0,
        flat=0.2,
        minutes=options.grow_minutes,
        checkpoint=lambda step: save(model, options.out / "model"),
        **common,
    )
    save(model, options.out / "model")


if __name__ == "__main__":
    main()
