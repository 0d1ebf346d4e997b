from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from flowtui.engine.demo.check import Row, guess, guesses, without_image
from flowtui.engine.demo.model import SYSTEM_PROMPT, build_model, build_processor
from flowtui.engine.demo.optim import Muon, orthogonalise
from flowtui.engine.demo.packing import IGNORE, Packer, answer_logits, answers_right, image_features, pixels_of
from flowtui.engine.demo.questions import KINDS, Question
from flowtui.engine.demo.train import draw_questions, grow
from flowtui.engine.demo.vision import patch_labels
from flowtui.engine.demo.world import NAMES, render, scenes


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(2).eval()


@pytest.fixture(scope="module")
def processor():
    return build_processor()


def some(count=2, questions=4):
    rng = np.random.default_rng(0)
    chance = np.full(len(KINDS), 1 / len(KINDS))
    drawn = list(islice(scenes(1, "train", (2, 3)), count))
    return drawn, [draw_questions(s, questions, rng, chance) for s in drawn]


def chat(processor, question):
    content = [{"type": "image"}, {"type": "text", "text": question}]
    return processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)


def test_pixels_are_what_the_processor_makes_of_them(processor):
    images = [render(s)[0] for s in islice(scenes(1, "train"), 4)]
    theirs = processor.image_processor(images=[Image.fromarray(i) for i in images], return_tensors="pt")["pixel_values"]
    # Both scale uint8 to [-1, 1] in float32, in another order of operations: a few units in the last place.
    assert torch.allclose(pixels_of(images), theirs, atol=1e-6)


@torch.inference_mode()
def test_packed_questions_give_the_logits_of_separate_prompts(model, processor):
    """The oracle: every question alone, through the processor and the model's own forward."""
    drawn, questions = some()
    batch = Packer().pack(questions)
    images = [render(s)[0] for s in drawn]
    logits, targets = answer_logits(model, batch, image_features(model, pixels_of(images)))
    where = (batch.targets != IGNORE).nonzero()
    for image, asked in enumerate(questions):
        for i, question in enumerate(asked):
            text = f"{chat(processor, question.text)} {question.answer} </s>"
            inputs = processor(images=Image.fromarray(images[image]), text=text, return_tensors="pt")
            count = len(processor.tokenizer(question.answer)["input_ids"]) + 1
            alone = model(**inputs).logits[0, -count - 1 : -1]
            mine = (where[:, 0] == image) & (batch.segments[where[:, 0], where[:, 1]] == i + 1)
            assert targets[mine].tolist() == inputs["input_ids"][0, -count:].tolist()
            # float32 sums in another order (masked sequence against a short one).
            assert torch.allclose(logits[mine], alone, atol=2e-5)


def test_the_prefix_is_the_chat_templates(processor):
    prefix = Packer().prefix
    ids = processor(images=Image.new("RGB", (96, 96)), text=chat(processor, "Describe the image."))["input_ids"][0]
    assert list(ids[: len(prefix)]) == prefix
    assert SYSTEM_PROMPT in processor.tokenizer.decode(prefix)


@torch.inference_mode()
def test_cutting_the_image_is_the_same_as_masking_it(model):
    drawn, questions = some()
    batch = Packer().pack(questions)
    features = image_features(model, pixels_of([render(s)[0] for s in drawn]))
    cut, _ = answer_logits(model, without_image(batch), features[:, :0])
    first, last = batch.image_tokens
    batch.mask[..., first:last] = False
    batch.mask[:, :, range(first, last), range(first, last)] = True
    masked, _ = answer_logits(model, batch, features)
    assert torch.allclose(cut, masked, atol=2e-5)


def test_growing_keeps_the_function(model):
    drawn, questions = some()
    batch, pixels = Packer().pack(questions), pixels_of([render(s)[0] for s in drawn])
    deeper = grow(model, 5).eval()
    assert len(deeper.model.language_model.layers) == 5
    with torch.inference_mode():
        before, _ = answer_logits(model, batch, image_features(model, pixels))
        after, _ = answer_logits(deeper, batch, image_features(deeper, pixels))
    assert torch.allclose(before, after, atol=1e-5)


def test_answers_right_names_the_question_with_a_wrong_token():
    _, questions = some()
    batch = Packer().pack(questions)
    targets = batch.targets[batch.targets != IGNORE]
    logits = torch.nn.functional.one_hot(targets, 200).float()
    assert all(right for _, _, right in answers_right(batch, logits))
    logits[0, (targets[0] + 1) % 200] = 2.0
    wrong = [(image, i) for image, i, right in answers_right(batch, logits) if not right]
    assert wrong == [(0, 0)]


@pytest.mark.parametrize("shape", [(3, 8, 8), (2, 4, 12), (2, 12, 4)])
def test_orthogonalise_approaches_the_polar_factor(shape):
    torch.manual_seed(0)
    matrices = torch.randn(shape)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    polar = u @ v
    ours = orthogonalise(matrices)
    # Five steps of the quintic bring singular values to about 0.7-1.2, not to one: directions agree, lengths roughly.
    values = torch.linalg.svdvals(ours)
    assert values.min() > 0.3
    assert values.max() < 1.4
    assert torch.nn.functional.cosine_similarity(ours.flatten(1), polar.flatten(1)).min() > 0.95


def test_muon_descends():
    torch.manual_seed(0)
    weight, target = torch.nn.Parameter(torch.randn(6, 6)), torch.randn(6, 6)
    optimiser = Muon([weight], lr=0.05)
    first = (weight - target).square().sum()
    for _ in range(200):
        optimiser.zero_grad()
        (weight - target).square().sum().backward()
        optimiser.step()
    assert (weight - target).square().sum() < 0.1 * first


def test_patch_labels_stand_where_the_things_are():
    for scene in islice(scenes(4, "train", (3, 3)), 20):
        labels = patch_labels(scene).reshape(5, 12, 12)
        _, masks = render(scene)
        for i, thing in enumerate(scene.things):
            here = labels[4] == i
            assert (labels[1][here] == NAMES.index(thing.name)).all()
            # A patch counts when its centre is in the box; a box rim of up to half a patch on each side falls outside.
            covered = masks[i].reshape(12, 8, 12, 8).sum((1, 3))
            assert covered[here].sum() > 0.5 * covered.sum()


def test_a_guesser_knows_the_worlds_frequencies_only():
    counts = guesses(0)
    assert set(counts["Is there a red circle in the image?"]) == {"yes", "no"}
    question = Question("choice", "What color is the circle? (A) red (B) blue Answer with the letter.", "B", ())
    seen = counts["What color is the circle?"]
    assert guess(question, counts) == ("A" if seen["red"] >= seen["blue"] else "B")


def test_a_row_fails_below_its_floor_and_above_its_prior():
    assert Row(2000, 0.96, 0.5, 0.5, 0.95).passed
    assert not Row(2000, 0.94, 0.5, 0.5, 0.95).passed
    assert not Row(2000, 0.96, 0.6, 0.5, 0.95).passed
