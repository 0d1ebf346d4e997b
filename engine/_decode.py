"""Greedy decoding for many K at once, each from the token where it leaves the reference answer.

Rows that agree with the reference need no decoding. A row for K that leaves it at token t goes on with one token per
step: its query sees the full run's keys and values (image included) in the layers below K, those of the walk (image
cut) from K on, and its own new ones everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from flowtui.errors import UnsupportedModelError

from ._calls import KeyValues, LayerCall, additive, call_layer
from ._walk import Recording, Walk, head
from .inputs import Inputs
from .loaded import Loaded


@dataclass(slots=True)
class Branch:
    """A row that leaves the reference answer.

    Attributes:
        k: Leading layers that see the image; L for the full model itself.
        start: How many answer tokens it shares with the reference.
        ids: Answer tokens so far, the shared ones first; the end token is left out.
        stopped: Whether it ended by an end token.
    """

    k: int
    start: int
    ids: list[int] = field(default_factory=list)
    stopped: bool = False

    def add(self, token: int, stop_ids: Collection[int]) -> None:
        """Takes one more token, or the end."""
        if token in stop_ids:
            self.stopped = True
        else:
            self.ids.append(token)


def find_branch(inputs: Inputs, k: int, predicted: Sequence[int], accepted: Sequence[Collection[int]]) -> Branch:
    """Compares a row's teacher-forced predictions with the reference answer.

    Args:
        inputs: Holds the reference answer.
        k: The row's K.
        predicted: The most likely token at each answer row and at the row after the answer: T+1.
        accepted: What counts as agreement at each answer row, and as the end after the last: T+1.

    Returns:
        The branch, holding the reference up to where it is left and one token more; `finished` tells whether to go on.
    """
    # A given answer may be longer than what greedy decoding is allowed.
    answer = [int(i) for i in inputs.answer_ids[: inputs.max_new_tokens]]
    for start in range(len(answer)):
        if predicted[start] not in accepted[start]:
            branch = Branch(k, start, answer[:start])
            branch.add(predicted[start], inputs.stop_ids)
            return branch
    branch = Branch(k, len(answer), answer)
    if len(answer) < inputs.max_new_tokens:
        branch.add(predicted[len(answer)], accepted[len(answer)])
    return branch


def finished(branch: Branch, max_new_tokens: int) -> bool:
    """Whether nothing more is to be decoded."""
    return branch.stopped or len(branch.ids) >= max_new_tokens


class Future:
    """How the decoder would call its layers for positions beyond the recorded ones."""

    def __init__(self, loaded: Loaded, inputs: Inputs, recording: Recording) -> None:
        """Asks the decoder itself, with layers that do nothing.

        Raises:
            UnsupportedModelError: The decoder does something to its token embeddings before the first layer.
        """
        length = max(inputs.length, inputs.prompt_length + inputs.max_new_tokens)
        ids = torch.full((1, length), int(inputs.model_inputs["input_ids"][0, -1]), device=loaded.device)
        embeddings = loaded.model.get_input_embeddings()(ids)
        self.calls: list[LayerCall] = []
        entered: list[Tensor] = []

        def stub(layer: nn.Module) -> Callable[..., Any]:
            def forward(*args: Any, **kwargs: Any) -> Any:
                hidden, call = LayerCall.of(layer, args, kwargs)
                self.calls.append(call)
                entered.append(hidden)
                return (hidden,) if recording.returns_tuples else hidden

            return forward

        with ExitStack() as undo:
            for layer in loaded.layers:
                undo.callback(_restore, layer, layer.__dict__.get("forward"))
                layer.__dict__["forward"] = stub(layer)
            positions = _extend(recording.position_ids, length)
            loaded.decoder(inputs_embeds=embeddings, position_ids=positions, use_cache=False)
        if not torch.equal(entered[0], embeddings):
            raise UnsupportedModelError(f"The {loaded.info.family} decoder changes token embeddings before its layers.")


def _restore(layer: nn.Module, forward: object) -> None:
    layer.__dict__.pop("forward", None)
    if forward is not None:
        layer.__dict__["forward"] = forward


def _extend(position_ids: Tensor | None, length: int) -> Tensor | None:
    """Positions [... N] continued to `length`: text after text counts on by one, in every dimension."""
    if position_ids is None:
        return None
    more = torch.arange(1, length - position_ids.shape[-1] + 1, device=position_ids.device)
    return torch.cat([position_ids, position_ids[..., -1:] + more], -1)


@torch.no_grad()
def decode(
    loaded: Loaded,
    inputs: Inputs,
    recording: Recording,
    walk: Walk | None,
    branches: Sequence[Branch],
    report: Callable[[float], None],
) -> None:
    """Decodes every unfinished branch to its end, in place.

    Args:
        loaded: The model.
        inputs: Prompt, reference answer, limits.
        recording: The full pass.
        walk: The walk that holds the branches' K; None where all of them are the full model's own.
        branches: Any order.
        report: Called with the fraction of the longest possible answer before each step.
    """
    open_ = sorted((b for b in branches if not finished(b, inputs.max_new_tokens)), key=lambda b: b.k)
    if not open_:
        return
    future = Future(loaded, inputs, recording)
    state = _State(loaded, inputs, recording, walk, future, open_)
    while state.branches:
        report(min(len(b.ids) for b in state.branches) / inputs.max_new_tokens)
        tokens = state.step().tolist()
        for branch, token in zip(state.branches, tokens, strict=True):
            branch.add(token, inputs.stop_ids)
        state.keep([i for i, b in enumerate(state.branches) if not finished(b, inputs.max_new_tokens)])


class _State:
    """The open branches, ascending in K, and what each layer has made for them so far."""

    def __init__(
        self,
        loaded: Loaded,
        inputs: Inputs,
        recording: Recording,
        walk: Walk | None,
        future: Future,
        branches: list[Branch],
    ) -> None:
        self.loaded, self.recording, self.walk, self.future = loaded, recording, walk, future
        self.branches = branches
        self.everything = torch.arange(inputs.length, device=loaded.device)[None]
        # Keys at or after this position belong to the reference's continuation, which the branch has left.
        self.left_at = torch.tensor([inputs.prompt_length + b.start for b in branches], device=loaded.device)
        self.steps = 0
        self.made: list[tuple[Tensor, Tensor] | None] = [None] * len(loaded.layers)

    def keep(self, rows: list[int]) -> None:
        """Drops the branches that are done."""
        if len(rows) == len(self.branches):
            return
        self.branches = [self.branches[i] for i in rows]
        index = torch.tensor(rows, dtype=torch.long, device=self.left_at.device)
        self.left_at = self.left_at[index]
        self.made = [None if kv is None else (kv[0][index], kv[1][index]) for kv in self.made]

    def step(self) -> Tensor:
        """Feeds each branch its last token and returns the next: [B] int64."""
        last = torch.tensor([[b.ids[-1]] for b in self.branches], device=self.left_at.device)
        hidden = self.loaded.model.get_input_embeddings()(last)
        for index in range(len(self.loaded.layers)):
            blind = sum(b.k <= index for b in self.branches)
            parts, made = [], []
            for rows, seeing in ((slice(0, blind), False), (slice(blind, None), True)):
                if len(self.branches[rows]):
                    output, new = self._layer(index, rows, hidden[rows], seeing=seeing)
                    parts.append(output)
                    made.append(new)
            hidden = torch.cat(parts)
            new = torch.cat([m[0] for m in made]), torch.cat([m[1] for m in made])
            old = self.made[index]
            self.made[index] = new if old is None else (torch.cat([old[0], new[0]], 2), torch.cat([old[1], new[1]], 2))
        self.steps += 1
        return head(self.loaded, hidden[:, 0]).argmax(-1)

    def _layer(self, index: int, rows: slice, hidden: Tensor, *, seeing: bool) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """One layer for branches that all see the image there, or all do not."""
        keys, values, positions = self._past(index, rows, seeing=seeing)
        left_at = self.left_at[rows, None]
        queries = left_at + self.steps
        own = left_at + torch.arange(self.steps + 1, device=left_at.device)
        positions = positions.expand(len(left_at), -1)
        old = self.made[index]
        if old is not None:
            keys, values = torch.cat([keys, old[0][rows]], 2), torch.cat([values, old[1][rows]], 2)
        call, cache = self.future.calls[index], KeyValues((keys, values))
        kwargs = call.at(queries)
        there = torch.cat([positions < left_at, torch.ones_like(own, dtype=torch.bool)], 1)[:, None, None]
        seen = call.allowed(queries, torch.cat([positions, own], 1))
        # No mask means causal: every earlier token is seen, and nothing later is here.
        mask = additive(there if seen is None else seen, hidden.dtype)
        kwargs["attention_mask"] = mask.masked_fill(~there, torch.finfo(hidden.dtype).min)
        output = call_layer(self.loaded.layers[index], hidden, kwargs, cache)
        return output, cache.stored()

    def _past(self, index: int, rows: slice, *, seeing: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Recorded keys, values [b kv_heads P head_dim] and their positions [1|b P]."""
        count = len(self.branches[rows])
        if seeing:
            keys, values = self.recording.caches[index].stored()
            return keys.expand(count, -1, -1, -1), values.expand(count, -1, -1, -1), self.everything
        assert self.walk is not None  # a branch below L comes from a walk
        chosen = torch.tensor([self.walk.ks.index(b.k) for b in self.branches[rows]], device=self.left_at.device)
        keys, values = self.walk.caches[index].stored()
        positions = self.walk.positions if len(self.walk.positions) == 1 else self.walk.positions[chosen]
        return keys[chosen], values[chosen], positions
