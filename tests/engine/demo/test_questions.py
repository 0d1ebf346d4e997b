from itertools import islice

import numpy as np
import pytest

from flowtui.engine.demo.model import build_tokenizer
from flowtui.engine.demo.questions import KINDS, LETTERS, Question, ask, phrases
from flowtui.engine.demo.world import POPULAR, Scene, scenes


def drawn(kind, count=400):
    rng = np.random.default_rng(1)
    for scene in islice(scenes(2, "train"), count):
        question = ask(scene, kind, rng)
        if question is not None:
            yield scene, question


def truth(scene: Scene, question: Question) -> str:
    """Answers a question from the scene alone, by other code than the maker's."""
    words = question.text.replace("?", " ?").replace(".", " .").split()
    if question.kind == "presence":
        pair = (words[3], words[4])
        return "yes" if any((t.colour, t.name) == pair for t in scene.things) else "no"
    if question.kind == "colour":
        named = [t for t in scene.things if words[4] == ("character" if t.is_character else t.name)]
        assert len(named) == 1
        return named[0].colour
    if question.kind == "shape":
        (thing,) = [t for t in scene.things if t.colour == words[4]]
        return thing.name
    if question.kind == "position":
        (thing,) = [
            t for t in scene.things if (t.colour, "character" if t.is_character else t.name) == (words[3], words[4])
        ]
        return f"{('top', 'middle', 'bottom')[thing.cell[0]]} {('left', 'center', 'right')[thing.cell[1]]}"
    (character,) = [t.name for t in scene.things if t.is_character]
    return character


@pytest.mark.parametrize("kind", ["presence", "colour", "shape", "position", "letter"])
def test_answers_are_true(kind):
    count = 0
    for scene, question in drawn(kind):
        assert question.answer == truth(scene, question)
        count += 1
    assert count > 100


def test_choices_offer_two_to_four_different_options_and_mark_the_right_one():
    seen = set()
    for scene, question in drawn("choice"):
        inner, *options = question.text.removesuffix(" Answer with the letter.").split(" (")
        values = [o.split(") ")[1] for o in options]
        assert len(set(values)) == len(values)
        right = values[LETTERS.index(question.answer)]
        assert right == truth(scene, Question(question.detail, inner, "", ()))
        seen.add(len(values))
    assert seen == {2, 3, 4}


def test_captions_name_exactly_the_things():
    for scene, question in drawn("caption", 100):
        assert phrases(question.answer) == {t.phrase for t in scene.things}


def test_presence_is_balanced_and_negatives_are_what_they_say():
    found = list(drawn("presence", 4000))
    share = np.mean([q.answer == "yes" for _, q in found])
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(len(found))  # four standard errors of a fair coin
    details = {q.detail for _, q in found}
    assert details == {"positive", "random", "popular", "adversarial"}
    for scene, question in found:
        colour, shape = question.text.split()[3:5]
        if question.detail == "popular":
            assert (colour, shape) in POPULAR
        if question.detail == "adversarial":
            assert any(not t.is_character and (t.colour == colour or t.name == shape) for t in scene.things)


def test_the_tokenizer_knows_every_word():
    tokenizer = build_tokenizer()
    for kind in KINDS:
        for _, question in drawn(kind, 200):
            for text in (question.text, question.answer):
                assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_answers_survive_the_tokenizer():
    tokenizer = build_tokenizer()
    for kind in KINDS:
        for _, question in drawn(kind, 50):
            assert tokenizer.decode(tokenizer(question.answer)["input_ids"]) == question.answer
