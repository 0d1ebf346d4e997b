"""Greedy decoding for many K at once, each from the token where it leaves the reference answer.

Rows that agree with the reference need no decoding. A row for K that leaves it at token t goes on with one token per
step: its query sees the full run's keys and values (image included) in the layers below K, those of the walk (image
cut) from K on, and its own new ones everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ._calls import additive, call_layer
from ._future import Future, look_ahead
from ._logits import head, likeliest
from ._record import Recording
from ._walk import Walk
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
    length = max(inputs.length, inputs.prompt_length + inputs.max_new_tokens)
    future = look_ahead(loaded, recording, length, inputs.answer_ids)
    state = _State(loaded, inputs, recording, walk, future, open_)
    while state.branches:
        report(min(len(b.ids) for b in state.branches) / inputs.max_new_tokens)
        tokens = state.step().tolist()
        for branch, token in zip(state.branches, tokens, strict=True):
            branch.add(token, inputs.stop_ids)
        state.keep([i for i, b in enumerate(state.branches) if not finished(b, inputs.max_new_tokens)])


class _State:
    """The open branches, and what each layer has made for them so far.

    All branches go through a layer in one row: a query of each, over the keys of all, with a mask that shows each query
    its own. So the full run's keys and values are not copied for every branch, and no layer runs twice in a step.
    """

    def __init__(
        self,
        loaded: Loaded,
        inputs: Inputs,
        recording: Recording,
        walk: Walk | None,
        future: Future,
        branches: list[Branch],
    ) -> None:
        self.loaded, self.future = loaded, future
        self.branches = branches
        self.number = torch.arange(len(branches), device=loaded.device)
        # Keys at or after this position belong to the reference's continuation, which the branch has left.
        self.left_at = torch.tensor([inputs.prompt_length + b.start for b in branches], device=loaded.device)
        self.ks = torch.tensor([b.k for b in branches], device=loaded.device)
        self.owner = self.number[:0]
        self.made_at = self.left_at[:0]
        room = len(branches) * (inputs.max_new_tokens - min(len(b.ids) for b in branches))
        self.past = [_Past(recording, walk, index, self, room) for index in range(len(loaded.layers))]
        self.steps = 0

    def keep(self, rows: list[int]) -> None:
        """Drops the branches that are done; what was made for them stays, unseen."""
        if len(rows) == len(self.branches):
            return
        self.branches = [self.branches[i] for i in rows]
        index = torch.tensor(rows, dtype=torch.long, device=self.left_at.device)
        self.number, self.left_at, self.ks = self.number[index], self.left_at[index], self.ks[index]
        for past in self.past:
            past.seen = past.seen[index]

    def step(self) -> Tensor:
        """Feeds each branch its last token and returns the next: [B] int64."""
        last = torch.tensor([[b.ids[-1] for b in self.branches]], device=self.left_at.device)
        queries = (self.left_at + self.steps)[None]
        hidden = self.future.enter(self.loaded.model.get_input_embeddings()(last), queries[0])
        self.owner = torch.cat([self.owner, self.number])
        self.made_at = torch.cat([self.made_at, queries[0]])
        own = self.owner == self.number[:, None]
        for layer, call, past in zip(self.loaded.layers, self.future.calls, self.past, strict=True):
            there = torch.cat([past.seen, own], 1)[None, None]
            allowed = call.allowed(queries, torch.cat([past.positions, self.made_at])[None])
            # No mask means causal: every earlier token is seen, and nothing later is here.
            mask = additive(there if allowed is None else allowed, hidden.dtype)
            kwargs = call.at(queries)
            kwargs["attention_mask"] = mask.masked_fill(~there, torch.finfo(hidden.dtype).min)
            hidden = call_layer(layer, hidden, kwargs, past)
        self.steps += 1
        return likeliest(self.loaded, head(self.loaded, hidden[0]))


class _Past:
    """One layer's keys and values for all branches: the full run's, the walk's, then those made since.

    Stands in for transformers' cache in the layer's call.

    Attributes:
        positions: Original positions of what was there before decoding: [P].
        seen: Which of that each branch sees: [B P] bool.
    """

    def __init__(self, recording: Recording, walk: Walk | None, index: int, state: _State, room: int) -> None:
        keys, values = recording.caches[index].stored()
        positions = torch.arange(keys.shape[2], device=keys.device)
        blind = state.ks <= index
        seen = (positions < state.left_at[:, None]).expand(len(state.ks), -1)
        if walk is not None and bool(blind.any()):
            # From its K on a branch has the fixed tokens of the full run, and its lane's own instead of the others.
            is_fixed = torch.zeros_like(positions, dtype=torch.bool)
            is_fixed[walk.fixed] = True
            seen = seen & (is_fixed | ~blind[:, None])
            lanes = [walk.starts.index(int(k)) for k in state.ks[blind]]
            own = walk.positions.expand(len(walk.starts), -1)[lanes]
            lane_keys, lane_values = walk.caches[index].stored()
            keys = torch.cat([keys, lane_keys[lanes].transpose(0, 1).flatten(1, 2)[None]], 2)
            values = torch.cat([values, lane_values[lanes].transpose(0, 1).flatten(1, 2)[None]], 2)
            owner = state.number[blind].repeat_interleave(own.shape[1])
            own = own.flatten()
            seen = torch.cat([seen, (owner == state.number[:, None]) & (own < state.left_at[:, None])], 1)
            positions = torch.cat([positions, own])
        self.positions, self.seen, self.filled = positions, seen, keys.shape[2]
        # Room for all that will be made, so that no step copies what is there.
        self.keys = torch.cat([keys, keys.new_empty(1, keys.shape[1], room, keys.shape[3])], 2)
        self.values = torch.cat([values, values.new_empty(1, values.shape[1], room, values.shape[3])], 2)

    def update(self, keys: Tensor, values: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Adds the new keys and values and returns all that the queries may see."""
        start, self.filled = self.filled, self.filled + keys.shape[2]
        self.keys[:, :, start : self.filled] = keys
        self.values[:, :, start : self.filled] = values
        return self.keys[:, :, : self.filled], self.values[:, :, : self.filled]

    def get_seq_length(self, *_: object) -> int:
        """Nought, as in `KeyValues`."""
        return 0
