from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import GROUPS, Answer, Run, Span, Tokens
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.tokenfacts import TokenFacts, token_facts
from tests.factories import random_run

from .viewing import see, text_of

RUN = random_run()
NUMBERS = TokenFacts(RUN)
WIDE = (120, 40)


def tiled_run() -> Run:
    """Two images: one of two tiles whose rows end in a separator of the image's, one without a grid; text between."""
    group = "SS" + "IIiIIi" + "U" + "IIiIIi" + "U" + "III" + "UU" + "AA"
    code = {"S": 0, "I": 1, "i": 1, "U": 2, "A": 3}
    text = [
        "<s>",
        " ",
        *["<image>"] * 6,
        "\n",
        *["<image>"] * 6,
        "<sep>",
        *["<image>"] * 3,
        "",
        "\x1b]52;c;x\x07",
        "a",
        "b",
    ]
    tokens = Tokens(
        np.arange(len(group), dtype=np.int64),
        tuple(text),
        np.array([code[g] for g in group], dtype=np.uint8),
        (
            Span(0, 2, 8, 2, 2, 3, (0.0, 0.0, 48.0, 96.0)),
            Span(0, 9, 15, 2, 2, 3, (48.0, 0.0, 96.0, 96.0)),
            Span(1, 16, 19, 0, 0, 0, (0.0, 0.0, 96.0, 96.0)),
        ),
        21,
    )
    base = random_run(layers=3, grid=(3, 5), answer=("a", "b"), analyses=())
    answer = Answer((21, 22), "a b", ("a", "b"), given=False, stopped=True)
    return replace(base, tokens=tokens, answer=answer, image_sizes=((96, 96), (96, 96)))


def long_run(words: int = 4000, layers: int = 96) -> Run:
    """A long prompt."""
    base = random_run(layers=layers, heads=2, answer=("a", "b"), cliff=None, analyses=("attention",))
    tokens, at = base.tokens, base.tokens.answer_start
    group = np.concatenate([tokens.group[:at], np.full(words, 2, np.uint8), tokens.group[at:]])
    text = (*tokens.text[:at], *(f"w{i}" for i in range(words)), *tokens.text[at:])
    grown = Tokens(np.arange(len(group)), text, group, tokens.spans, at + words)
    layer_of = {}
    for k, result in base.analyses["attention"].layers.items():
        rows = result.arrays["text_rows"]
        more = np.full((len(rows), words), 1e-5, dtype=np.float32)
        more[:, 1234] = 0.25
        layer_of[k] = replace(
            result, arrays={**result.arrays, "text_rows": np.hstack([rows[:, :-2], more, rows[:, -2:]])}
        )
    analysis = replace(base.analyses["attention"], layers=layer_of)
    return replace(base, tokens=grown).with_analysis(analysis)


def test_every_token_is_in_one_item() -> None:
    items = NUMBERS.items
    assert [i.start for i in items] == [*range(15), *range(158, len(RUN.tokens.ids))]
    assert [i.end for i in items[:-1]] == [i.start for i in items[1:]]
    block = items[14]
    assert (block.start, block.end, block.images) == (14, 158, 144)
    assert block.chip.text == "image 12×12 = 144 tokens"
    assert [i.chip.section for i in items] == [GROUPS[RUN.tokens.group[i.start]] for i in items]


def test_tiles_separators_and_texts_that_hide() -> None:
    numbers = TokenFacts(tiled_run())
    assert [i.chip.text for i in numbers.items] == [
        "<s>", "␣", "image 0 grid 0 2×2, 6 tokens", "␊", "image 0 grid 1 2×2, 6 tokens", "<sep>", "image 1 3 tokens",
        "⟨19⟩", "␛]52;c;x⟨0007⟩".replace("⟨0007⟩", "␇"), "a", "b",
    ]  # fmt: skip
    # What parts two tiles stays with them; what follows the last image is the user's.
    assert [i.chip.section for i in numbers.items] == [*["system"] * 2, *["image"] * 5, *["user"] * 2, *["answer"] * 2]
    assert numbers.answer_item(1) == 10
    assert [numbers.token_of(i) for i in (8, 9, 10)] == [None, 0, 1]


def test_values_by_hand() -> None:
    arrays = {k: v.astype(np.float64) for k, v in RUN.analyses["attention"].layers[5].arrays.items()}
    table = NUMBERS.table(1)
    assert table.shape == (12, len(NUMBERS.items))
    assert table[5, 3] == pytest.approx(arrays["text_rows"][1, 3])
    assert table[5, 14] == pytest.approx(arrays["image_rows"][1].sum())
    # The X text tokens leave the image out: the first of the user's is number 14 among them, and item 15.
    assert table[5, 15] == pytest.approx(arrays["text_rows"][1, 14])
    assert table.sum(axis=1) == pytest.approx(np.ones(12), abs=1e-4)
    assert NUMBERS.table(None)[5, 3] == pytest.approx(arrays["text_rows"][:, 3].mean())


def test_the_most_attended_text_tokens() -> None:
    values = NUMBERS.table(2)[5]
    order = NUMBERS.strongest(5, 2, 100)
    assert len(order) == len(NUMBERS.items) - 1
    assert 14 not in order
    assert list(values[order]) == sorted(values[order], reverse=True)
    assert [NUMBERS.rank(5, 2, i) for i in order] == list(range(len(order)))
    assert NUMBERS.rank(5, 2, 14) is None
    assert NUMBERS.strongest(5, 2, 3) == order[:3]
    assert NUMBERS.top(5, 2) == max(values[i] for i in order if i != 0)


def test_the_scale_leaves_out_the_first_token() -> None:
    attention = RUN.analyses["attention"]
    rows = np.full_like(attention.layers[0].arrays["text_rows"], 0.01)
    rows[:, 0], rows[:, 7] = 0.7, 0.02
    result = replace(attention.layers[0], arrays={**attention.layers[0].arrays, "text_rows": rows})
    numbers = TokenFacts(RUN.with_layer(attention.parameters, result))
    assert numbers.top(0, None) == pytest.approx(0.02)
    assert numbers.strongest(0, None, 2) == [0, 7]
    rows[:, 1:] = 0
    assert numbers.top(0, 1) == pytest.approx(0.7)


def test_without_attention_there_are_tokens_and_no_values() -> None:
    numbers = TokenFacts(tiled_run())
    assert np.isnan(numbers.table(None)).all()
    assert numbers.strongest(0, None, 5) == []
    assert numbers.top(0, None) == 0
    empty = TokenFacts(random_run(answer=()))
    assert empty.table(None).sum() == 0


async def test_the_strip_says_where_each_token_is_and_what_it_gets() -> None:
    shown = await see(ExplorerApp(RUN), "tokens", "l", "l", "right_square_bracket", size=WIDE)
    assert "layer 2/11" in shown
    assert "attention from answer token 0" in shown
    share = 100 * NUMBERS.table(0)[2, 14]
    assert f"[image 12×12 = 144 tokens{share:6.1f} %]" in shown
    starts = [text.split()[0] for text in shown.splitlines() if text[:8].strip()]
    assert [name for name in ("system", "image", "user", "answer") if name in starts] == list(GROUPS)
    assert "●a" in shown
    assert "■ system ■ image ■ user ■ answer" in shown
    assert f"▁▂▃▄▅▆▇█ {100 * NUMBERS.top(2, 0):.1f} %" in shown


async def test_the_cursor_moves_and_says_its_value() -> None:
    app = ExplorerApp(RUN)
    shown = await see(app, "tokens", "j", "j", "l", size=WIDE)
    assert app.look.item == 2
    value, rank = 100 * NUMBERS.table(None)[1, 2], NUMBERS.rank(1, None, 2)
    assert rank is not None
    assert f"“You”, position 2, system: {value:.1f} %" in shown.replace("\u00a0", " ")
    assert f"rank {rank + 1} of 26 text tokens" in shown
    assert "▸You" in shown
    for keys, item in (("k", 0), ("J", 10), ("J J J J", 26), ("J J J J K", 16)):
        app = ExplorerApp(RUN)
        await see(app, "tokens", *keys.split(), size=WIDE)
        assert app.look.item == item


async def test_an_image_under_the_cursor() -> None:
    shown = (await see(ExplorerApp(RUN), "tokens", *["j"] * 14, size=WIDE)).replace("\u00a0", " ")
    share = NUMBERS.table(None)[0, 14]
    assert f"positions 14–157: {100 * share:.1f} % of the attention" in shown
    assert f"{100 * share / 144:.3f} % per image token" in shown


async def test_s_goes_through_the_most_attended() -> None:
    order = NUMBERS.strongest(0, None, 3)
    for presses, item in ((1, order[0]), (3, order[2])):
        app = ExplorerApp(RUN)
        await see(app, "tokens", *["s"] * presses, size=WIDE)
        assert app.look.item == item


async def test_enter_on_an_answer_token_and_on_an_image() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4", "J", "J", "J", "enter")
        assert (app.look.view, app.look.token) == ("tokens", 2)
        await pilot.press("K", "K", "j", "enter")
        assert (app.look.view, app.look.token) == ("tokens", 2)
        await pilot.press(*["j"] * 7, "enter")
        assert app.look.item == 14
        assert (app.look.view, app.look.kind) == ("main", "attention")


async def test_a_click_puts_the_cursor_on_a_token() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("4")
        await pilot.pause()
        lines = text_of(app, "view-tokens").splitlines()
        row = next(i for i, text in enumerate(lines) if text.startswith("user"))
        await pilot.click("#view-tokens", offset=(1 + lines[row].index("see"), row))
        await pilot.pause()
        assert NUMBERS.items[app.look.item].chip.text == "see"
        before = app.look
        await pilot.click("#view-tokens", offset=(118, row))
        await pilot.click("#view-tokens", offset=(20, 0))
        await pilot.pause()
        assert app.look == before


async def test_old_runs_and_missing_layers_are_said() -> None:
    attention = RUN.analyses["attention"]
    old = {
        k: replace(r, arrays={n: a for n, a in r.arrays.items() if n != "text_rows"})
        for k, r in attention.layers.items()
    }
    shown = await see(ExplorerApp(RUN.with_analysis(replace(attention, layers=old))), "tokens", size=WIDE)
    assert "made before attention over the text was kept" in shown
    share = 100 * NUMBERS.table(None)[0, 14]
    assert f"{share:.1f} %]" in shown
    part = RUN.with_analysis(replace(attention, layers={3: attention.layers[3]}))
    shown = await see(ExplorerApp(part), "tokens", size=WIDE)
    assert "attention: 11 of 12 layers missing. Press r" in shown
    assert "· %]" in shown
    assert "rank" in await see(ExplorerApp(part), "tokens", "l", "l", "l", size=WIDE)


async def test_nothing_in_a_token_steers_the_terminal() -> None:
    shown = await see(ExplorerApp(tiled_run()), "tokens", size=WIDE)
    assert "\x1b" not in shown
    assert "␛]52" in shown


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
async def test_a_long_prompt_scrolls_and_keeps_its_cursor_on_screen(size: tuple[int, int]) -> None:
    run = long_run(layers=3)
    shown = await see(ExplorerApp(run), "tokens", "s", size=size)
    assert "▸w1234" in shown
    assert "lines " in shown.splitlines()[0]
    assert "25.0 %" in shown
    assert "image" in shown
    last = await see(ExplorerApp(run), "tokens", *["J"] * 3, "k", size=size)
    assert last.splitlines()[2].startswith(("system", "image", "user"))


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
async def test_legends_and_units_at_every_size(size: tuple[int, int]) -> None:
    for graphics in (None, Ascii()):
        shown = await see(ExplorerApp(RUN, graphics=graphics), "tokens", "j", size=size)
        assert "▁▂▃▄▅▆▇█" in shown
        assert "■ system ■ image ■ user ■ answer" in shown
        assert "over layers" in shown
        assert "≤" in shown
        assert "Most attended text" in shown
        assert "…" not in shown


def test_items_are_made_once_per_run() -> None:
    facts = Facts(RUN)
    assert token_facts(facts).items is token_facts(facts).items
