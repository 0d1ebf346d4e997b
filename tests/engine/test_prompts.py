from __future__ import annotations

from dataclasses import replace

import pytest

from flowtui.engine.loaded import Loaded
from flowtui.engine.prompts import prompt_text
from flowtui.engine.spec import RunSpec
from flowtui.errors import ModelError, UsageError

VICUNA = (
    "{% for m in messages %}{% if m['role'] != 'system' %}{{ m['role'].upper() + ': ' }}{% endif %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
"""The chat template of llava-hf/llava-1.5-7b-hf, but for the assistant's part."""

PLAIN_SYSTEM = (
    "{% for m in messages %}{% if m['role'] == 'system' %}"
    "{% if m['content'] is string %}SYS {{ m['content'] }} {% endif %}"
    "{% else %}{{ m['role'] }}: {% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<image> {% else %}{{ p['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)

SYSTEM_AS_IT_IS = (
    "{% for m in messages %}{% if m['role'] == 'system' %}SYS {{ m['content'] }} {% else %}{{ m['role'] }}: "
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image> {% else %}{{ p['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% endfor %}"
)
SYSTEM_AND_MORE = SYSTEM_AS_IT_IS.replace("m['content'] }} ", "m['content'] + ' ' }}")

SAME_OPENING = (
    "{% for m in messages %}<pad>{{ m['role'] }} "
    "{% for p in m['content'] %}{% if p['type'] == 'image' %}<image> {% else %}{{ p['text'] }} {% endif %}{% endfor %}"
    "{% endfor %}"
)
"""As in ChatML, every turn opens with the same special token."""

NO_SYSTEM = "user: <image> {{ messages[-1]['content'][-1]['text'] }}"

STRICT = "{% if messages[-1]['role'] != 'user' %}{{ raise_exception('whose turn?') }}{% endif %}" + VICUNA


def _spec(images: int = 1, **options: object) -> RunSpec:
    return RunSpec(model="m", images=(b"x",) * images, question="What color ?", **options)  # type: ignore[arg-type]


@pytest.fixture
def with_template(tiny_llava: Loaded, monkeypatch: pytest.MonkeyPatch):
    def use(template: str | None) -> Loaded:
        monkeypatch.setattr(tiny_llava.processor, "chat_template", template)
        return tiny_llava

    return use


def test_the_models_own_template(tiny_llava: Loaded) -> None:
    text, before = prompt_text(tiny_llava, _spec(images=2, system="You look"))
    assert text == "<s><system> You look <user> <image> <image> What color ? <assistant>"
    # Cut inside "<user>", which then is no token of it: the comparison of ids ends before.
    assert before == "<s><system> You look <"


def test_vicuna_template(with_template) -> None:
    text, before = prompt_text(with_template(VICUNA), _spec())
    assert text == "USER: <image>\nWhat color ? ASSISTANT:"
    assert before == ""


def test_a_turns_opening_token_belongs_to_the_turn(with_template) -> None:
    text, before = prompt_text(with_template(SAME_OPENING), _spec(system="Look."))
    assert text == "<pad>system Look. <pad>user <image> What color ? "
    assert before == "<pad>system Look. "


def test_without_a_template_the_prompt_is_vicunas(with_template) -> None:
    text, before = prompt_text(with_template(None), _spec(images=2, system="Look closely."))
    assert text == "<s>Look closely. USER: <image>\n<image>\nWhat color ? ASSISTANT:"
    assert before == "<s>Look closely. "


@pytest.mark.parametrize("template", [PLAIN_SYSTEM, SYSTEM_AS_IT_IS, SYSTEM_AND_MORE])
def test_a_template_that_takes_the_system_prompt_as_plain_text(with_template, template: str) -> None:
    text, _ = prompt_text(with_template(template), _spec(system="Look closely."))
    assert text.startswith("SYS Look closely. user: <image> What color ?")


def test_a_template_without_a_system_prompt_says_so(with_template) -> None:
    with pytest.raises(UsageError, match="no place for a system prompt"):
        prompt_text(with_template(NO_SYSTEM), _spec(system="Look closely."))


def test_a_template_that_insists_on_the_users_turn(with_template) -> None:
    text, before = prompt_text(with_template(STRICT), _spec(system="Look."))
    # Told with another content instead of another role: the marker of the turn counts as system then.
    assert text == "Look. USER: <image>\nWhat color ? ASSISTANT:"
    assert before == "Look. USER: "


def test_a_template_that_fails_is_one_error(with_template) -> None:
    with pytest.raises(ModelError, match="chat template cannot show"):
        prompt_text(with_template("{{ raise_exception('no') }}"), _spec())


@pytest.mark.parametrize("part", ["question", "system", "answer"])
def test_the_image_placeholder_in_a_text_is_refused(tiny_llava: Loaded, part: str) -> None:
    with pytest.raises(UsageError, match="holds '<image>'"):
        prompt_text(tiny_llava, replace(_spec(), **{part: "a <image> b"}))
