"""Trains the demo model: `python -m flowtui.engine.demo.train --out DIR`.

Three stages, each resumable from the checkpoint of the one before:

1. `vision`: the tower and the projector alone. Each patch inside a thing's box is classified by colour, name, row,
   column and reading order, with the language model's own word embeddings as classifier rows, so that image tokens and
   words share one space from the start; joint colour-and-name classes keep the two bound together.
2. `language`: a shallow decoder learns the questions, many per image in one sequence with a block-diagonal mask (the
   image tokens are paid for once). Scenes grow from one thing to three; kinds that lag are drawn more often.
3. `grow`: layers whose output projections are zero are put between the trained ones, which leaves the function as it
   was, then everything including the tower is trained at full depth while the rate falls to zero.

Matrices are updated by Muon (Jordan et al. 2024), everything else by AdamW. All random numbers come from `--seed`.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration

from .model import LAYERS, SPECIAL, SYSTEM_PROMPT, build_model, build_tokenizer, save
from .questions import KINDS, VOCABULARY, Question, ask
from .world import CELL_PX, COLOURS, COLUMNS, GRID, NAMES, PATCH_PX, ROWS, Scene, render, scenes

log = logging.getLogger(__name__)

IDS = {word: i for i, word in enumerate((*SPECIAL, *VOCABULARY))}
ORDER = ("first", "second", "third")
IGNORE = -100
NONE = -1


class Muon(torch.optim.Optimizer):
    """Muon in the parameters' own precision, matrices of one shape orthogonalised together.

    `torch.optim.Muon` orthogonalises in bfloat16, which is some hundred times slower than float32 on processors
    without bfloat16 units.
    """

    def __init__(self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01):
        super().__init__(list(params), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Takes one step; `closure` is not used."""
        for group in self.param_groups:
            shapes: dict[tuple[int, ...], list[nn.Parameter]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    shapes.setdefault(tuple(p.shape), []).append(p)
            for (rows, cols), params in shapes.items():
                updates = []
                for p in params:
                    buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                    buffer.lerp_(p.grad, 1 - group["momentum"])
                    updates.append(p.grad.lerp(buffer, group["momentum"]))
                scale = group["lr"] * max(1.0, rows / cols) ** 0.5
                for p, update in zip(params, orthogonalise(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices: [matrix row col] -> the same shape."""
    a, b, c = 3.4445, -4.7750, 2.0315
    wide = matrices.size(-2) <= matrices.size(-1)
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def optimisers(model: nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms, biases and convolutions."""
    matrices, others = [], []
    for name, p in model.named_parameters():
        if p.requires_grad:
            (matrices if p.ndim == 2 and "embed" not in name and "lm_head" not in name else others).append(p)
    chosen: list[torch.optim.Optimizer] = [torch.optim.AdamW(others, lr=adam_lr, betas=(0.9, 0.98), weight_decay=0.0)]
    if matrices:
        chosen.append(Muon(matrices, lr=muon_lr))
    for optimiser in chosen:
        for group in optimiser.param_groups:
            group["peak"] = group["lr"]
    return chosen


def set_rate(chosen: list[torch.optim.Optimizer], step: int, steps: int, floor: float, flat: float) -> None:
    """Warm up for 30 steps, stay at the peak until `flat` of the stage, then fall linearly to `floor` of it."""
    done = step / steps
    factor = min(1.0, (step + 1) / 30) * (1.0 if done < flat else 1 - (1 - floor) * (done - flat) / (1 - flat))
    for optimiser in chosen:
        for group in optimiser.param_groups:
            group["lr"] = group["peak"] * factor


def pixels_of(images: list[NDArray[np.uint8]]) -> Tensor:
    """What the processor makes of 96x96 images: [image 3 96 96] float32 in [-1, 1]."""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def image_features(model: LlavaForConditionalGeneration, pixels: Tensor) -> Tensor:
    """Projected image tokens: [image 144 d_model]."""
    hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
    projected: Tensor = model.model.multi_modal_projector(hidden)
    return projected


# --- stage 1: the vision tower -------------------------------------------------------------------------------------


def patch_labels(scene: Scene) -> NDArray[np.int64]:
    """Labels of each patch, NONE outside every box: [5 144], rows colour, name, row, column, reading order."""
    labels = np.full((5, GRID, GRID), NONE, dtype=np.int64)
    centres = np.arange(GRID) * PATCH_PX + PATCH_PX / 2
    for i, t in enumerate(scene.things):
        left, top, right, bottom = t.box_px
        inside = ((centres >= top) & (centres < bottom))[:, None] & ((centres >= left) & (centres < right))[None, :]
        values = (list(COLOURS).index(t.colour), NAMES.index(t.name), *t.cell, i)
        labels[:, inside] = np.array(values)[:, None]
    assert CELL_PX >= 2 * PATCH_PX
    return labels.reshape(5, -1)


class PatchReadout(nn.Module):
    """Classifies projected patches with the decoder's word embeddings as rows, plus one free row for "nothing"."""

    def __init__(self, d_model: int) -> None:
        super().__init__()
        words = (tuple(COLOURS), NAMES, ROWS, COLUMNS, ORDER)
        self.rows = [torch.tensor([IDS[w] for w in group]) for group in words]
        self.nothing = nn.Parameter(torch.zeros(len(words), d_model))
        self.joint = nn.Linear(d_model, len(COLOURS) * len(NAMES) + 1)

    def forward(self, patches: Tensor, embedding: Tensor) -> list[Tensor]:
        """Logits of the five attributes and of the joint class, "nothing" last: each [image 144 class]."""
        x = F.rms_norm(patches, patches.shape[-1:])
        logits = [
            x @ torch.cat([embedding[rows], self.nothing[i : i + 1]]).T for i, rows in enumerate(self.rows)
        ]
        return [*logits, self.joint(x)]


def train_vision(model: LlavaForConditionalGeneration, steps: int, batch: int, seed: int) -> None:
    """Stage 1, in place."""
    embedding = model.get_input_embeddings().weight
    nn.init.normal_(embedding, std=0.06)
    model.requires_grad_(False)
    trained = nn.ModuleDict({"tower": model.model.vision_tower, "projector": model.model.multi_modal_projector})
    trained.requires_grad_(True)
    readout = PatchReadout(embedding.shape[1])
    embedding.requires_grad_(True)
    trained["readout"] = readout
    chosen = optimisers(trained, muon_lr=0.02, adam_lr=2e-3)
    chosen[0].add_param_group({"params": [embedding], "lr": 2e-3, "peak": 2e-3})
    stream, start = scenes(seed, "train"), time.monotonic()
    for step in range(steps):
        set_rate(chosen, step, steps, floor=0.05, flat=0.4)
        drawn = [next(stream) for _ in range(batch)]
        labels = torch.from_numpy(np.stack([patch_labels(s) for s in drawn], 1))
        joint = torch.where(labels[0] >= 0, labels[0] * len(NAMES) + labels[1], NONE)
        targets = [*labels, joint]
        logits = readout(image_features(model, pixels_of([render(s)[0] for s in drawn])), embedding)
        weight = torch.where(labels[0] >= 0, 1.0, 0.15)
        loss = torch.zeros(())
        for one, target in zip(logits, targets, strict=True):
            classes = torch.where(target >= 0, target, one.shape[-1] - 1)
            losses = F.cross_entropy(one.flatten(0, 1), classes.flatten(), reduction="none")
            loss = loss + (losses * weight.flatten()).sum() / weight.sum()
        update(chosen, loss, trained.parameters())
        if step % 50 == 49 or step == steps - 1:
            inside = labels[0] >= 0
            right = [(o[..., :].argmax(-1) == t)[inside].float().mean().item() for o, t in zip(logits, targets, strict=True)]
            names = ("colour", "name", "row", "column", "order", "joint")
            report("vision", step + 1, start, loss=loss.item(), **dict(zip(names, right, strict=True)))


def update(chosen: list[torch.optim.Optimizer], loss: Tensor, params: Iterable[nn.Parameter]) -> None:
    """One backward pass and one step of every optimiser, gradients clipped to norm 1."""
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in params if p.grad is not None], 1.0)
    for optimiser in chosen:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)


def report(stage: str, step: int, start: float, **values: float) -> None:
    """One JSON line of progress."""
    rounded = {k: round(v, 4) for k, v in values.items()}
    log.info(json.dumps({"stage": stage, "step": step, "seconds": round(time.monotonic() - start), **rounded}))


# --- stages 2 and 3: questions -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Batch:
    """Several questions per image in one sequence.

    Attributes:
        ids: [image token] int64, the prefix (system, image) first, then one segment per question.
        positions: [image token] int64, restarting after the prefix for every segment.
        mask: [image 1 token token] bool, True where a query row may look at a key column.
        targets: [image token] int64, the next token where it belongs to an answer, else IGNORE.
        segments: [image token] int64, 0 in the prefix, i + 1 in question i, -1 in padding.
        questions: Per image, its questions.
        image_tokens: [start, end) of the image tokens, the same in every row.
    """

    ids: Tensor
    positions: Tensor
    mask: Tensor
    targets: Tensor
    segments: Tensor
    questions: list[list[Question]]
    image_tokens: tuple[int, int]


class Packer:
    """Turns scenes' questions into batches; tokenises exactly as the processor does."""

    def __init__(self) -> None:
        tokenizer = build_tokenizer()
        self._encode: Callable[[str], list[int]] = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
        head = self._encode(f"<s><system> {SYSTEM_PROMPT} <user>")
        self.image_tokens = (len(head), len(head) + GRID * GRID)
        self.prefix = head + [IDS["<image>"]] * (GRID * GRID)
        self._cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, cached: the world has few different ones."""
        if text not in self._cache:
            self._cache[text] = self._encode(text)
        return self._cache[text]

    def pack(self, questions: list[list[Question]]) -> Batch:
        """Builds a batch from each image's questions."""
        rows, start = [], len(self.prefix)
        for asked in questions:
            ids, positions = list(self.prefix), list(range(start))
            targets, segments = [IGNORE] * start, [0] * start
            for i, q in enumerate(asked):
                head = [*self.encode(q.text), IDS["<assistant>"]]
                answer = [*self.encode(q.answer), IDS["</s>"]]
                ids += head + answer[:-1]
                targets += [IGNORE] * (len(head) - 1) + answer
                positions += range(start, start + len(head) + len(answer) - 1)
                segments += [i + 1] * (len(head) + len(answer) - 1)
            rows.append((ids, positions, targets, segments))
        longest = max(len(r[0]) for r in rows)
        fills = (IDS["<pad>"], 0, IGNORE, -1)
        ids, positions, targets, segments = (
            torch.tensor([r[k] + [fills[k]] * (longest - len(r[0])) for r in rows]) for k in range(4)
        )
        same = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
        mask = same & torch.ones(longest, longest, dtype=torch.bool).tril()
        return Batch(ids, positions, mask[:, None], targets, segments, questions, self.image_tokens)


def answer_logits(model: LlavaForConditionalGeneration, batch: Batch, features: Tensor) -> tuple[Tensor, Tensor]:
    """Logits at the answer rows only: ([row vocabulary] float32, targets [row])."""
    embedding = model.get_input_embeddings()
    first, last = batch.image_tokens
    text = embedding(batch.ids)
    x = torch.cat([text[:, :first], features, text[:, last:]], 1)
    hidden = model.model.language_model(
        inputs_embeds=x, attention_mask=batch.mask, position_ids=batch.positions, use_cache=False
    ).last_hidden_state
    rows = batch.targets != IGNORE
    return hidden[rows] @ embedding.weight.T, batch.targets[rows]


def answers_right(batch: Batch, logits: Tensor) -> Iterator[tuple[int, int, bool]]:
    """Yields (image, question, whether every answer token is the argmax) for each question of the batch."""
    rows = batch.targets != IGNORE
    wrong = torch.zeros_like(batch.targets, dtype=torch.bool)
    wrong[rows] = logits.argmax(-1) != batch.targets[rows]
    for image, asked in enumerate(batch.questions):
        bad = set(batch.segments[image][wrong[image]].tolist())
        for i in range(len(asked)):
            yield image, i, i + 1 not in bad


def train_questions(
    model: LlavaForConditionalGeneration,
    stage: str,
    steps: int,
    batch: int,
    per_image: int,
    seed: int,
    *,
    tower: bool,
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
    right = dict.fromkeys(KINDS, 0.0)
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
        batched = packer.pack([draw_questions(s, per_image, rng, chance / chance.sum()) for s in drawn])
        pixels = pixels_of([render(s)[0] for s in drawn])
        with torch.set_grad_enabled(tower):
            hidden = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states[-1][:, 1:]
        logits, targets = answer_logits(model, batched, model.model.multi_modal_projector(hidden))
        loss = F.cross_entropy(logits, targets)
        update(chosen, loss, model.parameters())
        losses.append(loss.item())
        for image, i, fine in answers_right(batched, logits):
            kind = batched.questions[image][i].kind
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
        train_questions(
            model, "language", options.language_steps, seed=options.seed + 100, tower=False, muon_lr=0.02, grow_until=300,
            floor=0.3, flat=0.6, minutes=options.language_minutes,
            checkpoint=lambda step: torch.save(model.state_dict(), file("language-part")), **common,
        )  # fmt: skip
        torch.save(model.state_dict(), file("language"))
    model = grow(model, LAYERS)
    train_questions(
        model, "grow", options.grow_steps, seed=options.seed + 200, tower=True, muon_lr=0.01, grow_until=0,
        floor=0.0, flat=0.2, minutes=options.grow_minutes,
        checkpoint=lambda step: save(model, options.out / "model"), **common,
    )  # fmt: skip
    save(model, options.out / "model")


if __name__ == "__main__":
    main()
