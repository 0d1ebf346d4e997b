"""Stage 1 of the recipe: the vision tower learns to say what stands where, in the decoder's own words."""

from __future__ import annotations

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlavaForConditionalGeneration

from .optim import optimisers, set_rate, update
from .packing import IDS, image_features, pixels_of
from .progress import report
from .world import COLOURS, COLUMNS, GRID, NAMES, PATCH_PX, ROWS, Scene, render, scenes

ORDER = ("first", "second", "third")
NONE = -1


def patch_labels(scene: Scene) -> NDArray[np.int64]:
    """Labels of each patch, NONE outside every box: [5 144], rows colour, name, row, column, reading order."""
    labels = np.full((5, GRID, GRID), NONE, dtype=np.int64)
    centres = np.arange(GRID) * PATCH_PX + PATCH_PX / 2
    for i, t in enumerate(scene.things):
        left, top, right, bottom = t.box_px
        inside = ((centres >= top) & (centres < bottom))[:, None] & ((centres >= left) & (centres < right))[None, :]
        values = (list(COLOURS).index(t.colour), NAMES.index(t.name), *t.cell, i)
        labels[:, inside] = np.array(values)[:, None]
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
        logits = [x @ torch.cat([embedding[rows], self.nothing[i : i + 1]]).T for i, rows in enumerate(self.rows)]
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
            right = [(o.argmax(-1) == t)[inside].float().mean().item() for o, t in zip(logits, targets, strict=True)]
            names = ("colour", "name", "row", "column", "order", "joint")
            report("vision", step + 1, start, loss=loss.item(), **dict(zip(names, right, strict=True)))
