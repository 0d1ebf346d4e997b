"""Computes one group of a sweep, the questions on one image, item by item. Whoever has the model calls it.

A record holds one item: its answer, and for each way of cutting the whole curve over K. It follows from the model, the
group and the options alone, to the last bit: what is shared between the questions on one image is always the same,
whichever of them are done already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowtui.engine.analyses import run_analysis, run_fitted
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.keptfeatures import kept_features
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import Answer, LayerResult
from flowtui.engine.spec import AttentionParameters, CamParameters, Parameters, TruncationParameters
from flowtui.engine.truncation import Sharing
from flowtui.errors import UsageError

from .journal import Record
from .plan import Cut, Options, spec_of
from .textonly import answer_text
from .traits import traits_of

TRAIT_PARAMETERS: dict[str, Parameters] = {
    "attention": AttentionParameters(),
    "cam": CamParameters(per_token=False),
}


def run_group(
    loaded: Loaded,
    payload: Mapping[str, Any],
    on_record: Callable[[Record], None],
    on_progress: Callable[[float], None],
    cancelled: Callable[[], bool],
) -> None:
    """Computes what is missing of one group.

    Args:
        loaded: The model.
        payload: As `flowtui.engine.sweeps.plan.Job.payload` makes it.
        on_record: Gets each item's record as soon as it is complete, in order.
        on_progress: Gets the fraction of the group that is done.
        cancelled: Asked between layers.

    Raises:
        CancelledError: `cancelled` said yes.
        OutOfMemoryError: Not enough memory, in smaller chunks neither.
        FlowtuiError: An image or a prompt that the model cannot take; the message names the item.
    """
    options = Options.from_plain(payload["options"])
    work = _Work(loaded, options, cancelled)
    with kept_features(loaded):
        _run_questions(work, payload, on_record, on_progress)


def _run_questions(
    work: _Work,
    payload: Mapping[str, Any],
    on_record: Callable[[Record], None],
    on_progress: Callable[[float], None],
) -> None:
    questions = payload["questions"]
    for number, question in enumerate(questions):

        def part(fraction: float, number: int = number) -> None:
            on_progress((number + fraction) / len(questions))

        try:
            record = work.item(payload["model"], payload["image"], question, part)
        except UsageError as error:
            raise type(error)(f"Item {question['id']}: {error.message}", error.hint) from error
        if record is not None:
            on_record(record)


class _Work:
    """The questions on one image, one after the other."""

    def __init__(self, loaded: Loaded, options: Options, cancelled: Callable[[], bool]) -> None:
        self.loaded, self.options, self.cancelled = loaded, options, cancelled
        ks = range(loaded.info.layers + 1)
        # Only the paper's cut lets questions share; the others depend on each item's own ranking or draw.
        self.sharing = Sharing(loaded, Cut().parameters(0, ""), ks) if Cut() in options.cuts else None

    def item(
        self, model: str, image: bytes | None, question: Mapping[str, Any], report: Callable[[float], None]
    ) -> Record | None:
        """One item's record; None where it is there already."""
        done = question["done"]
        if image is None:
            return None if done is not None else answer_text(self.loaded, question, self.options)
        spec = spec_of(model, image, question["prompt"], self.options.max_new_tokens)
        pinned = None if done is None else Answer(tuple(done["ids"]), "", (), given=False, stopped=done["stopped"])
        inputs = prepare(self.loaded, spec, pinned, may_be_empty=True)
        if done is not None:
            if self.sharing is not None:
                self.sharing.pass_over(inputs, lambda _, fraction: report(fraction))
            return None
        answer = inputs.prepared.answer
        wanted = self.options.traits if question["traits"] else ()
        steps = len(self.options.cuts) + len(wanted)
        curves = []
        for i, cut in enumerate(self.options.cuts):
            parameters = cut.parameters(self.options.seed, question["id"])
            curves.append(to_curve(self._curve(inputs, parameters, _part(report, i, steps))))
        traits: dict[str, list[float | None]] = {}
        for i, name in enumerate(wanted, len(self.options.cuts)):
            traits |= traits_of(self._layers(inputs, TRAIT_PARAMETERS[name], _part(report, i, steps)))
        return {
            "item": question["index"],
            "ids": list(answer.ids),
            "stopped": answer.stopped,
            "answer": answer.text,
            "curves": curves,
            "traits": traits if wanted else None,
        }

    def _curve(
        self, inputs: Inputs, parameters: TruncationParameters, report: Callable[[float], None]
    ) -> list[LayerResult]:
        """All K, K = 0..L."""
        found: dict[int, LayerResult] = {}
        sharing = self.sharing if parameters.strategy == "all" else None

        def run(
            loaded: Loaded,
            inputs: Inputs,
            parameters: Parameters,
            layers: list[int],
            on_layer: Callable[[LayerResult], None],
            check: Callable[[int, float], None],
        ) -> None:
            assert isinstance(parameters, TruncationParameters)
            (sharing or Sharing(loaded, parameters, range(loaded.info.layers + 1))).draw(inputs, on_layer, check)

        def keep(result: LayerResult) -> None:
            found[result.layer] = result

        run_fitted(
            self.loaded,
            inputs,
            parameters,
            None,
            run,
            keep,
            lambda _, fraction: report(fraction),
            self.cancelled,
        )
        return [found[k] for k in sorted(found)]

    def _layers(self, inputs: Inputs, parameters: Parameters, report: Callable[[float], None]) -> list[LayerResult]:
        """All layers of an analysis of the untouched model."""
        found: dict[int, LayerResult] = {}

        def keep(result: LayerResult) -> None:
            found[result.layer] = result

        run_analysis(
            self.loaded,
            inputs,
            parameters,
            None,
            keep,
            lambda _, fraction: report(fraction),
            self.cancelled,
        )
        return [found[layer] for layer in sorted(found)]


def to_curve(results: list[LayerResult]) -> dict[str, Any]:
    """A truncation curve as a record holds it: means over the answer's tokens, 0 where it has none.

    Args:
        results: K = 0..L.
    """
    texts = list(dict.fromkeys(result.text for result in results))
    return {
        "texts": texts,
        "text": [texts.index(result.text) for result in results],
        "logprob": [_mean(result.arrays["logprob"]) for result in results],
        "kl": [_mean(result.arrays["kl"]) for result in results],
        "same": [bool(result.arrays["same"]) for result in results],
    }


def _mean(values: NDArray[Any]) -> float:
    """In float32, as the sweep file has it."""
    return float(np.float32(values.mean(dtype=np.float64))) if values.size else 0.0


def _part(report: Callable[[float], None], index: int, count: int) -> Callable[[float], None]:
    return lambda fraction: report((index + fraction) / count)
