"""What the analyses see is what generating did: kinds of answer tokens, masks, positions, queries."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from flowtui.engine.analyses import run_analysis
from flowtui.engine.families import REFUSED
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.prompts import prompt_text
from flowtui.engine.results import LayerResult
from flowtui.engine.rows import Chunk, Watch, watch
from flowtui.engine.spec import CamParameters, RunSpec, TruncationParameters
from flowtui.errors import UnsupportedModelError
from tests.engine.families.fixed import FAMILIES, build_blip_2_t5
from tests.engine.families.test_fixed_grids import load
from tests.engine.oracles import masked_logits, slow_greedy
from tests.engine.tiny import QUESTION
from tests.factories import png

STEPS = 5


def _prepare(loaded: Loaded, answer: str | None = None) -> Inputs:
    return prepare(
        loaded, RunSpec(model="tiny", images=(png(),), question=QUESTION, answer=answer, max_new_tokens=STEPS)
    )


def _prompt(inputs: Inputs) -> dict[str, torch.Tensor]:
    """The inputs without the answer."""
    length = inputs.length
    return {
        name: value[:, : inputs.prompt_length] if value.ndim == 2 and value.shape[1] == length else value
        for name, value in inputs.model_inputs.items()
    }


def _generate(loaded: Loaded, inputs: Inputs) -> tuple[list[int], torch.Tensor]:
    """Transformers' own greedy answer, and the logits of each of its steps [T vocab]."""
    config = copy.deepcopy(loaded.model.generation_config)
    config.update(
        max_new_tokens=STEPS, suppress_tokens=[loaded.image_token_id], return_dict_in_generate=True, output_logits=True
    )
    model: Any = loaded.model
    with torch.no_grad():
        made = model.generate(**_prompt(inputs), generation_config=config)
    return made.sequences[0, inputs.prompt_length :].tolist(), torch.stack(made.logits)[:, 0]


@pytest.mark.parametrize("name", FAMILIES)
def test_answer_rows_give_the_logits_that_generating_had(name: str) -> None:
    """In one pass over prompt and answer, as in a pass with a cache: masks, kinds and positions agree."""
    loaded = load(name)
    inputs = _prepare(loaded)
    ids, logits = _generate(loaded, inputs)
    answer = inputs.prepared.answer
    assert ids == [*answer.ids, *ids[len(answer.ids) :]]
    assert len(ids) == len(answer.ids) + answer.stopped
    with torch.no_grad():
        whole = loaded.model(**inputs.model_inputs, use_cache=False).logits[0, inputs.answer_rows]
    assert whole == pytest.approx(logits[: len(answer.ids)], abs=1e-4 * float(logits.abs().max()))


@pytest.mark.parametrize("name", FAMILIES)
def test_no_row_before_an_answer_token_sees_it(name: str) -> None:
    loaded = load(name)
    inputs = _prepare(loaded, "a red circle")
    rows = torch.arange(inputs.length)
    future: list[float] = []

    def look(chunk: Chunk) -> None:
        for i in range(chunk.weights.shape[1]):
            after = max(chunk.start + i + 1, inputs.prompt_length)
            future.append(float(chunk.weights[:, i, after:].sum()))

    with torch.no_grad(), watch(loaded, Watch(rows, range(len(loaded.layers)), look)):
        loaded.model(**inputs.model_inputs, use_cache=False)
    assert len(future) == inputs.length * len(loaded.layers)
    assert max(future) == 0


def _ahead(name: str, layer: int) -> np.ndarray[Any, Any]:
    """Which later positions each prompt position sees in a layer: [P P] bool, lower triangle cleared."""
    loaded = load(name)
    inputs = _prepare(loaded, "red")
    seen: list[torch.Tensor] = []
    rows = torch.arange(inputs.prompt_length)
    with torch.no_grad(), watch(loaded, Watch(rows, [layer], lambda chunk: seen.append(chunk.weights.sum(0)))):
        loaded.model(**inputs.model_inputs, use_cache=False)
    return np.asarray((torch.cat(seen)[:, : inputs.prompt_length] > 0).triu(1))


def test_paligemma_reads_its_prompt_in_both_directions() -> None:
    ahead = _ahead("paligemma", 0)
    assert ahead.sum() == len(ahead) * (len(ahead) - 1) / 2


@pytest.mark.parametrize("layer", [0, 1])
def test_gemma3_reads_an_image_in_both_directions_and_nothing_else(layer: int) -> None:
    loaded = load("gemma3")
    (span,) = _prepare(loaded, "red").prepared.tokens.spans
    positions = np.arange(len(_ahead("gemma3", layer)))
    image = (positions >= span.start) & (positions < span.end)
    expected = np.triu(image[:, None] & image[None, :], 1)
    # Layer 0 is local; within its window of 11 it looks back only, so ahead the whole image is seen.
    assert (_ahead("gemma3", layer) == expected).all()


@pytest.mark.parametrize("name", ["paligemma", "paligemma-2", "gemma3", "instructblip", "blip-2", "fuyu"])
def test_truncation_against_masking_the_image(name: str) -> None:
    """Every K, the answer's log-probabilities and the greedy text, by a masked pass of the whole model per token."""
    loaded = load(name)
    inputs = _prepare(loaded)
    results: list[LayerResult] = []
    run_analysis(loaded, inputs, TruncationParameters(), None, results.append, lambda *_: None, cancelled=lambda: False)
    assert len(results) == len(loaded.layers) + 1
    texts = set()
    for result in results:
        logits = masked_logits(loaded, inputs.model_inputs, result.layer, inputs.image_positions)
        logs = logits[inputs.answer_rows].log_softmax(-1).gather(-1, inputs.answer_ids[:, None])[:, 0]
        assert result.arrays["logprob"] == pytest.approx(np.asarray(logs), abs=1e-4)
        assert result.arrays["ids"].tolist() == slow_greedy(loaded, inputs, result.layer, inputs.image_positions)[0]
        texts.add(tuple(result.arrays["ids"].tolist()))
    assert len(texts) > 1


def test_an_encoder_decoder_is_refused_by_name(tmp_path: Path) -> None:
    build_blip_2_t5(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"blip-2 model .* \(t5\) is an encoder-decoder"):
        load_model(str(tmp_path), dtype="float32", device="cpu")


@pytest.mark.parametrize("name", [f.model_type for f in REFUSED])
def test_what_is_known_not_to_work_is_refused_before_its_weights_are_read(name: str, tmp_path: Path) -> None:
    AutoConfig.for_model(name).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="cannot be taken apart: it"):
        load_model(str(tmp_path), dtype="float32", device="cpu")


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", ["paligemma-2", "gemma3", "fuyu", "instructblip", "blip-2"])
def test_half_precision(name: str, dtype: str, tmp_path: Path) -> None:
    """Parts beside the decoder may stay in float32 (a Q-Former, query tokens): the decoder's precision counts."""
    FAMILIES[name](tmp_path)
    loaded = load_model(str(tmp_path), dtype=dtype, device="cpu")
    assert loaded.info.dtype == dtype
    assert 0 < loaded.info.self_test_error < 2e-2
    inputs = _prepare(loaded)
    assert inputs.prepared.answer.ids == tuple(_generate(loaded, inputs)[0][: len(inputs.prepared.answer.ids)])


# Begin token, placeholders and what processors add of their own are the processor's affair: here, what it is given.
PROMPTS = {
    "blip-2": "Question: What ? Answer:",
    "fuyu": "What ?\n",
    "instructblip": "What ?",
    "paligemma": "<image>What ?",
}


@pytest.mark.parametrize(("name", "prompt"), PROMPTS.items())
def test_prompts_without_a_chat_template(name: str, prompt: str) -> None:
    spec = RunSpec(model="tiny", images=(png(),), question="What ?")
    text, before = prompt_text(load(name), spec)
    assert (text, before) == (prompt, prompt[: len(before)])
    text, before = prompt_text(load(name), replace(spec, system="You look ."))
    assert "You look . " in before
    assert text.startswith(before)
    assert text.count("What ?") == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_has_pixels_to_put_noise_on(name: str) -> None:
    results: list[LayerResult] = []
    parameters = CamParameters(variant="smooth", copies=2)
    run_analysis(
        load(name), _prepare(load(name), "red"), parameters, None, results.append, lambda *_: None, lambda: False
    )
    assert max(result.arrays["heat"].max() for result in results) > 0


@pytest.mark.parametrize("name", PROMPTS)
def test_every_word_of_a_prompt_is_known(name: str) -> None:
    assert "<unk>" not in _prepare(load(name), "red").prepared.tokens.text
