from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from flowtui.engine import inputs
from flowtui.engine.inputs import Inputs, decode_answer, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.results import GROUPS, Answer
from flowtui.engine.spec import RunSpec
from flowtui.errors import ModelError, UsageError
from tests.engine.tiny import QUESTION
from tests.factories import png


def _spec(**options: object) -> RunSpec:
    return RunSpec(**{"model": "tiny", "images": (png(),), "question": QUESTION, **options})  # type: ignore[arg-type]


def _words(inputs: Inputs, name: str) -> list[str]:
    tokens = inputs.prepared.tokens
    return [t for t, g in zip(tokens.text, tokens.group, strict=True) if GROUPS[g] == name]


def test_a_given_answer(tiny_inputs: Inputs, tiny_llava: Loaded) -> None:
    tokens, answer = tiny_inputs.prepared.tokens, tiny_inputs.prepared.answer
    assert answer.tokens == ("a", "red", "circle")
    assert (answer.text, answer.given) == ("a red circle", True)
    assert tokens.text[-4:] == ("<assistant>", "a", "red", "circle")
    assert tuple(tokens.ids[tokens.answer_start :]) == answer.ids
    assert tiny_inputs.length == len(tokens.ids) == tiny_inputs.prompt_length + 3
    assert tiny_inputs.answer_ids.tolist() == list(answer.ids)
    assert decode_answer(tiny_llava, answer.ids) == "a red circle"


def test_an_answer_row_predicts_its_token(tiny_inputs: Inputs) -> None:
    ids = tiny_inputs.model_inputs["input_ids"][0]
    assert torch.equal(ids[tiny_inputs.answer_rows + 1], tiny_inputs.answer_ids)
    assert int(tiny_inputs.answer_rows[0]) == tiny_inputs.prompt_length - 1


def test_whether_a_given_answer_would_stop(tiny_llava: Loaded, tiny_inputs: Inputs) -> None:
    with torch.no_grad():
        logits = tiny_llava.model(**tiny_inputs.model_inputs).logits
    assert tiny_inputs.prepared.answer.stopped == (int(logits[0, -1].argmax()) in tiny_llava.stop_ids)


def test_the_greedy_answer_is_the_step_by_step_argmax(tiny_llava: Loaded) -> None:
    """Against decoding without a cache: every token is the argmax of a whole new pass."""
    inputs = prepare(tiny_llava, _spec(max_new_tokens=6))
    answer = inputs.prepared.answer
    ids, start = inputs.model_inputs["input_ids"], inputs.prompt_length
    assert not answer.given
    for i in range(len(answer.ids) + answer.stopped):
        with torch.no_grad():
            prefix = {
                "input_ids": ids[:, : start + i],
                "attention_mask": torch.ones_like(ids[:, : start + i]),
                "pixel_values": inputs.model_inputs["pixel_values"],
            }
            best = int(tiny_llava.model(**prefix).logits[0, -1].argmax())
        assert best in tiny_llava.stop_ids if i == len(answer.ids) else best == answer.ids[i]
    assert answer.stopped or len(answer.ids) == 6


def test_the_end_token_stays_out(tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = prepare(tiny_llava, _spec(max_new_tokens=4))
    first, second = prompt.prepared.answer.ids[:2]
    monkeypatch.setattr(tiny_llava, "stop_ids", (second,))
    monkeypatch.setattr(tiny_llava.model.generation_config, "eos_token_id", [second])
    answer = prepare(tiny_llava, _spec(max_new_tokens=4)).prepared.answer
    assert (answer.ids, answer.stopped) == ((first,), True)
    monkeypatch.setattr(tiny_llava, "stop_ids", (first,))
    monkeypatch.setattr(tiny_llava.model.generation_config, "eos_token_id", [first])
    with pytest.raises(UsageError, match="ends at once"):
        prepare(tiny_llava, _spec(max_new_tokens=4))


def test_a_pinned_answer_is_taken_id_by_id(tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepare(tiny_llava, _spec(max_new_tokens=4))

    def fail(*_args: object) -> None:
        raise AssertionError("nothing is to be decoded")

    monkeypatch.setattr(Loaded, "generate", fail)
    again = prepare(tiny_llava, _spec(max_new_tokens=4), first.prepared.answer)
    assert again.prepared.answer == first.prepared.answer
    assert np.array_equal(again.prepared.tokens.ids, first.prepared.tokens.ids)
    with pytest.raises(UsageError, match="does not know"):
        prepare(tiny_llava, _spec(), Answer((10**6,), "x", ("x",), given=False, stopped=True))


def test_groups(tiny_llava: Loaded) -> None:
    inputs = prepare(tiny_llava, _spec(answer="red", system="You look"))
    assert _words(inputs, "system") == ["<s>", "<system>", "You", "look", "<user>"]
    assert _words(inputs, "image") == ["<image>"] * 144
    assert _words(inputs, "user") == [*QUESTION.split(), "<assistant>"]
    assert _words(inputs, "answer") == ["red"]
    roles = prepare(tiny_llava, _spec(answer="red", system="You look", grouping="roles"))
    assert _words(roles, "system") == ["<s>", "<system>", "You", "look"]
    assert _words(roles, "user") == ["<user>", *QUESTION.split(), "<assistant>"]


def test_two_images(tiny_llava: Loaded) -> None:
    inputs = prepare(tiny_llava, _spec(images=(png(), png(120, 80, 1)), answer="red"))
    one, two = inputs.prepared.tokens.spans
    assert (one.end, two.end - two.start) == (two.start, 144)
    assert (one.image, two.image, two.rows, two.cols) == (0, 1, 12, 12)
    # The demo's processor squashes to a square, so the grid covers the whole picture.
    assert two.box_px == (0, 0, 120, 80)
    assert inputs.prepared.image_sizes == ((96, 96), (120, 80))
    assert inputs.image_positions.tolist() == list(range(one.start, two.end))
    assert inputs.model_inputs["pixel_values"].shape == (2, 3, 96, 96)


def test_the_begin_token_comes_once(tiny_inputs: Inputs, tiny_llava: Loaded) -> None:
    bos = tiny_llava.processor.tokenizer.bos_token_id
    assert (tiny_inputs.prepared.tokens.ids == bos).sum() == 1


def test_one_mask_value_per_token(tiny_inputs: Inputs) -> None:
    assert tiny_inputs.model_inputs["attention_mask"].tolist() == [[1] * tiny_inputs.length]


@pytest.mark.parametrize("answer", ["", "  ", "</s>"])
def test_an_empty_answer_is_refused(tiny_llava: Loaded, answer: str) -> None:
    with pytest.raises(UsageError, match="given answer is empty"):
        prepare(tiny_llava, _spec(answer=answer))


def test_a_prompt_that_is_too_long_is_refused(tiny_llava: Loaded) -> None:
    with pytest.raises(UsageError, match="at most 512"):
        prepare(tiny_llava, _spec(question="red " * 400))
    with pytest.raises(UsageError, match="at most 512"):
        prepare(tiny_llava, _spec(answer="red " * 400))


def test_a_greedy_answer_ends_where_the_model_does(tiny_llava: Loaded) -> None:
    inputs = prepare(tiny_llava, _spec(question="red " * 345, max_new_tokens=50))
    assert inputs.length <= 512


def test_what_is_no_image_is_refused(tiny_llava: Loaded) -> None:
    with pytest.raises(UsageError, match="not an image"):
        prepare(tiny_llava, replace(_spec(), images=(b"nothing",)))


def test_the_image_placeholder_is_never_an_answer(tiny_llava: Loaded) -> None:
    def prefer(_: torch.nn.Module, __: object, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(-1, torch.tensor([tiny_llava.image_token_id]), 1e4)

    spec = RunSpec(model="tiny", images=(png(),), question=QUESTION, max_new_tokens=3)
    hook = tiny_llava.lm_head.register_forward_hook(prefer)
    try:
        answer = prepare(tiny_llava, spec).prepared.answer
    finally:
        hook.remove()
    assert len(answer.ids) == 3
    assert tiny_llava.image_token_id not in answer.ids


def test_a_begin_token_that_the_processor_puts_in_front_moves_no_group(
    tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = _spec(answer="a", grouping="roles", system="red circle")
    plain = prepare(tiny_llava, spec)
    assert _words(plain, "system") == ["<s>", "<system>", "red", "circle"]
    template = tiny_llava.processor.chat_template
    monkeypatch.setattr(tiny_llava.processor, "chat_template", template.replace("<s>", ""))
    kind = type(tiny_llava.processor)
    call = kind.__call__
    monkeypatch.setattr(kind, "__call__", lambda self, text, **more: call(self, text="<s>" + text, **more))
    monkeypatch.setattr(inputs, "has_bos", lambda _loaded, _text: True)
    moved = prepare(tiny_llava, spec)
    assert moved.prepared.tokens.text == plain.prepared.tokens.text
    assert _words(moved, "system") == _words(plain, "system")


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("flat_only", [False, True])
def test_images_of_one_prompt_are_one_sample(
    tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch, count: int, flat_only: bool
) -> None:
    """Several go as a list in a list, as a chat template's own call gives them; to an older processor as a flat one."""
    kind = type(tiny_llava.processor)
    call, seen = kind.__call__, []

    def look(self: object, images: list[Any], **rest: Any) -> Any:
        seen.append([len(image) if isinstance(image, list) else image.size for image in images])
        if flat_only and isinstance(images[0], list):
            raise AttributeError("'list' object has no attribute 'convert'")
        return call(self, images=images, **rest)

    monkeypatch.setattr(kind, "__call__", look)
    prepare(tiny_llava, _spec(images=(png(), png(120, 80, 1))[:count], answer="red"))
    flat = [(96, 96), (120, 80)][:count]
    assert seen == ([flat] if count == 1 else [[2], flat] if flat_only else [[2]])


def test_what_a_processor_says_against_the_sample_is_told(tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, images: list[Any], **rest: Any) -> Any:
        raise ValueError("nested" if isinstance(images[0], list) else "flat")

    monkeypatch.setattr(type(tiny_llava.processor), "__call__", refuse)
    for count, said in ((1, "flat"), (2, "nested")):
        with pytest.raises(ModelError, match=f"cannot make inputs of this prompt: {said}"):
            prepare(tiny_llava, _spec(images=(png(),) * count, answer="red"))
