"""The full model's side of every comparison with a run whose image was cut."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ._decode import Branch, find_branch
from ._logits import likeliest
from .inputs import Inputs, decode_answer
from .loaded import Loaded
from .results import LayerResult


@dataclass(frozen=True, slots=True)
class Row:
    """One K: logprob [T] and kl [T], float32, and the greedy answer, complete once decoded."""

    logprob: Tensor
    kl: Tensor
    branch: Branch


class Reference:
    """The full model's side of every comparison; `branch` is its greedy answer, complete once decoded."""

    def __init__(self, loaded: Loaded, inputs: Inputs, logits: Tensor) -> None:
        self.loaded, self.inputs = loaded, inputs
        count, answer = len(loaded.layers), inputs.prepared.answer
        self.logs = logits[:-1].log_softmax(-1)
        predicted = likeliest(loaded, logits).tolist()
        self.accepted: list[set[int]] = [*({int(i)} for i in inputs.answer_ids), set(inputs.stop_ids)]
        if answer.given:
            self.branch = find_branch(inputs, count, predicted, self.accepted)
        else:
            # The model said it, so this is its greedy answer. Where rounding makes its own teacher-forced pass prefer
            # another token, either one is agreement: the model itself is undecided there.
            self.branch = Branch(count, len(answer.ids), list(answer.ids), answer.stopped)
            for accepted, token in zip(self.accepted[: len(answer.ids) + answer.stopped], predicted, strict=False):
                accepted.add(token)

    def compare(self, k: int, logits: Tensor) -> Row:
        """One K's logits at the answer rows and the row after, [T+1 vocab], against the full model's."""
        logs = logits[:-1].log_softmax(-1)
        divergence = torch.nn.functional.kl_div(logs, self.logs, reduction="none", log_target=True).sum(-1).clamp_min(0)
        branch = find_branch(self.inputs, k, likeliest(self.loaded, logits).tolist(), self.accepted)
        return Row(self.logprob(logs), divergence, branch)

    def itself(self) -> Row:
        """K = L."""
        logprob = self.logprob(self.logs)
        return Row(logprob, torch.zeros_like(logprob), self.branch)

    def logprob(self, logs: Tensor) -> Tensor:
        """The answer's log-probabilities: [T vocab] -> [T]."""
        return logs.gather(-1, self.inputs.answer_ids[:, None])[:, 0]

    def result(self, row: Row) -> LayerResult:
        """A finished row as the analysis' result."""
        branch, answer = row.branch, self.inputs.prepared.answer
        same = (branch.ids, branch.stopped) == (self.branch.ids, self.branch.stopped)
        text = answer.text if tuple(branch.ids) == answer.ids else decode_answer(self.loaded, branch.ids)
        arrays = {
            "logprob": row.logprob.float().cpu().numpy(),
            "kl": row.kl.float().cpu().numpy(),
            "same": np.array(same),
            "ids": np.array(branch.ids, dtype=np.int32),
        }
        return LayerResult("truncation", branch.k, arrays, text)
