"""Optimisers of the training recipe: Muon for matrices, AdamW for the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn


class Muon(torch.optim.Optimizer):
    """Muon in the parameters' own precision, matrices of one shape orthogonalised together.

    `torch.optim.Muon` orthogonalises in bfloat16, which is some hundred times slower than float32 on processors
    without bfloat16 units.
    """

    def __init__(
        self, params: Iterable[nn.Parameter], lr: float = 0.02, momentum: float = 0.95, weight_decay: float = 0.01
    ) -> None:
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
                    gradient = p.grad if p.grad is not None else torch.zeros_like(p)
                    buffer.lerp_(gradient, 1 - group["momentum"])
                    updates.append(gradient.lerp(buffer, group["momentum"]))
                scale = group["lr"] * max(1.0, rows / cols) ** 0.5
                for p, update in zip(params, orthogonalise(torch.stack(updates)), strict=True):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update, alpha=-scale)


def orthogonalise(matrices: Tensor) -> Tensor:
    """Newton-Schulz iteration towards the nearest semi-orthogonal matrices: [matrix row col] -> the same shape."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x: Tensor
    wide = matrices.size(-2) <= matrices.size(-1)
    x = matrices if wide else matrices.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def optimisers(model: nn.Module, muon_lr: float, adam_lr: float) -> list[torch.optim.Optimizer]:
    """Muon for the hidden matrices, AdamW for embeddings, norms, biases and convolutions."""
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
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


def update(chosen: list[torch.optim.Optimizer], loss: Tensor, params: Iterable[nn.Parameter]) -> None:
    """One backward pass and one step of every optimiser, gradients clipped to norm 1."""
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_([p for p in params if p.grad is not None], 1.0)
    for optimiser in chosen:
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
