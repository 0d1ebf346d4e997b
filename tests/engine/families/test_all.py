"""Every analysis of every family against the oracle in plain transformers; several images, tall and wide ones."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from flowtui.engine import cam, faithfulness, knockout, lens, rows
from flowtui.engine._reference import Reference
from flowtui.engine.families import FAMILIES as KNOWN
from flowtui.engine.inputs import prepare
from flowtui.engine.keptfeatures import ENCODER, kept_features
from flowtui.engine.results import Analysis, Run
from flowtui.engine.spec import ANALYSES, parameters_from_plain, parameters_to_plain
from flowtui.errors import FlowtuiError
from tests.engine.families.cases import FAMILIES, SEVERAL, SPEC, family_of, load
from tests.engine.families.oracle import ORACLES, TOLERANCE, chosen, expected, measure, run
from tests.engine.families.plain import Plain
from tests.engine.tiny import ANSWER
from tests.factories import png

Case = Callable[[str], Plain]
ENCODERS = ("vision_tower", "vision_model", "visual", "vision_encoder", "image_encoder")


@pytest.fixture(scope="session")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    """A family's model and its oracle, made once."""
    made: dict[str, Plain] = {}

    def get(name: str) -> Plain:
        if name not in made:
            loaded = load(name, tmp_path_factory.mktemp(name))
            made[name] = Plain(loaded, prepare(loaded, SPEC))
        return made[name]

    return get


def assert_equals_oracle(plain: Plain, analysis: str) -> None:
    outcome = measure(plain, analysis)
    assert not outcome.refused
    assert outcome.error is not None
    assert outcome.error <= TOLERANCE


def test_every_analysis_has_an_oracle() -> None:
    assert set(ANALYSES) <= set(ORACLES)


def test_every_family_has_a_model_and_every_model_a_family() -> None:
    refused = {name for name, family in KNOWN.items() if family.refused}
    assert {family_of(name) for name in FAMILIES} == set(KNOWN) - refused


@pytest.mark.parametrize("analysis", ANALYSES)
@pytest.mark.parametrize("name", FAMILIES)
def test_analysis_equals_the_oracle(case: Case, name: str, analysis: str) -> None:
    assert_equals_oracle(case(name), analysis)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_image_matters(case: Case, name: str) -> None:
    """Else all of the above could have passed on zeros."""
    plain = case(name)
    # In the last layer the site after attention has no path to the answer.
    assert all(expected(plain, "cam")[layer]["heat"].max() > 0 for layer in range(len(plain.layers) - 1))
    # A local layer's window may end before the image.
    assert any(arrays["image_rows"].max() > 0.01 for arrays in expected(plain, "attention").values())
    assert any(arrays["image_rows"].max() > 1e-4 for arrays in expected(plain, "saliency").values())
    assert expected(plain, "truncation")[0]["kl"].max() > 0.01
    moved = [np.ptp([*arrays["logprob"], arrays["base"]], 0) for arrays in expected(plain, "knockout").values()]
    assert np.max(moved) > 0.01


@pytest.mark.parametrize("size", [(60, 150), (150, 60)], ids=["tall", "wide"])
@pytest.mark.parametrize("name", FAMILIES)
def test_tall_and_wide_images(case: Case, name: str, size: tuple[int, int]) -> None:
    plain = case(name)
    spec = replace(SPEC, images=(png(*size),), answer=ANSWER)
    there = plain.on(prepare(plain.loaded, spec))
    for analysis in ("attention", "cam", "truncation"):
        assert_equals_oracle(there, analysis)


@pytest.mark.parametrize("name", FAMILIES)
def test_several_images(case: Case, name: str) -> None:
    plain = case(name)
    if "One image per prompt" in KNOWN[family_of(name)].note:
        with pytest.raises(FlowtuiError, match="image"):
            prepare(plain.loaded, SEVERAL)
        return
    inputs = prepare(plain.loaded, SEVERAL)
    tokens = inputs.prepared.tokens
    assert {span.image for span in tokens.spans} == {0, 1}
    cells = np.concatenate([span.positions().ravel() for span in tokens.spans])
    assert len(cells) == len(set(cells.tolist()))
    there = plain.on(inputs)
    for analysis in ("attention", "cam", "saliency", "truncation"):
        assert_equals_oracle(there, analysis)


@pytest.mark.parametrize("name", FAMILIES)
def test_an_image_that_is_encoded_once_changes_no_bit(case: Case, name: str) -> None:
    plain = case(name)
    loaded = plain.loaded
    seen: list[int] = []
    encoder = next((m for n, m in loaded.model.named_modules() if n.rpartition(".")[2] in ENCODERS), None)
    with encoder.register_forward_hook(lambda *_: seen.append(1)) if encoder is not None else nullcontext():
        alone = prepare(loaded, SPEC)
        expected_results = [*run(plain.on(alone), "truncation"), *run(plain.on(alone), "cam")]
        seen.clear()
        with kept_features(loaded):
            first = prepare(loaded, SPEC)
            once = len(seen)
            again = prepare(loaded, SPEC)
            found = [*run(plain.on(again), "truncation"), *run(plain.on(again), "cam")]
            # A Q-Former is looked at for each prompt, and BLIP-2's reads the question.
            if hasattr(loaded.model, ENCODER) and encoder is not None and "blip" not in name:
                assert len(seen) == once > 0
    for one, other in zip(alone.prepared.tokens.projections, again.prepared.tokens.projections, strict=True):
        assert one is None or (other is not None and np.array_equal(one.weights, other.weights))
    assert first.prepared.answer == again.prepared.answer == alone.prepared.answer
    for one, other in zip(expected_results, found, strict=True):
        assert one.text == other.text
        assert one.arrays.keys() == other.arrays.keys()
        for key, values in one.arrays.items():
            np.testing.assert_array_equal(other.arrays[key], values)
    assert not any(ENCODER in vars(module) for module in loaded.model.modules())


@pytest.mark.parametrize("name", FAMILIES)
def test_the_whole_model_answers_as_generating_does(case: Case, name: str) -> None:
    """Transformers' own `generate` on the copy, against truncation where nothing is cut."""
    plain = case(name)
    prompt = {
        name: value[:, : plain.inputs.prompt_length] if value.shape == plain.given["input_ids"].shape else value
        for name, value in plain.given.items()
    }
    config = copy.deepcopy(plain.model.generation_config)
    config.update(do_sample=False, max_new_tokens=SPEC.max_new_tokens, suppress_tokens=[plain.image_token])
    with torch.no_grad():
        made = plain.model.generate(**prompt, generation_config=config)[0, plain.inputs.prompt_length :].tolist()
    if made[-1] in plain.inputs.stop_ids:
        made.pop()
    (last,) = run(plain, "truncation", [len(plain.layers)])
    assert last.arrays["ids"].tolist() == made == list(plain.inputs.prepared.answer.ids)
    assert bool(last.arrays["same"])


@pytest.mark.parametrize("name", FAMILIES)
def test_from_spec_to_run_file_and_back(case: Case, name: str) -> None:
    plain = case(name)
    done = Run.from_prepared(SPEC, plain.inputs.prepared)
    for analysis in ANALYSES:
        parameters = parameters_to_plain(parameters_from_plain(analysis, chosen(plain, analysis)))
        done = done.with_analysis(Analysis(analysis, parameters, {r.layer: r for r in run(plain, analysis)}))
        assert done.missing(analysis) == ()
    # Every array is checked against the table of arrays on the way back.
    again = Run.from_plain(done.to_plain())
    assert again.tokens.spans == done.tokens.spans
    assert again.answer == done.answer
    for analysis in done.analyses.values():
        for layer, result in analysis.layers.items():
            there = again.analyses[analysis.name].layers[layer]
            assert there.text == result.text
            for array, values in there.arrays.items():
                np.testing.assert_array_equal(values, result.arrays[array])


def _slightly(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args: right(*args) * (1 + 5 * TOLERANCE)


@pytest.mark.parametrize(
    ("analysis", "place", "part"),
    [
        ("attention", rows.Scores, "weights"),
        ("matrix", rows.Scores, "weights"),
        ("saliency", rows.Scores, "weights"),
        ("cam", cam, "weigh"),
        ("truncation", Reference, "logprob"),
        ("lens", lens, "head"),
        # All else of it is compared by the engine itself, which then refuses: test_knockout.
        ("knockout", knockout, "_logprob"),
        ("faithfulness", faithfulness, "_probability"),
    ],
)
def test_the_oracle_sees_what_is_wrong(
    case: Case, analysis: str, place: object, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One part of the engine off by five times the tolerance."""
    plain = case("llava")
    monkeypatch.setattr(place, part, _slightly(getattr(place, part)))
    outcome = measure(plain, analysis)
    assert outcome.error is not None
    assert outcome.error > TOLERANCE
