from dataclasses import replace

import numpy as np
import pytest

from flowtui.engine.results import LayerResult, Run
from flowtui.tui.draw.graphics import Ascii
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.facts import Facts
from flowtui.tui.explorer.headfacts import HeadFacts, head_facts
from flowtui.tui.explorer.look import Look
from tests.factories import random_run

from .viewing import see, text_of

RUN = random_run()
NUMBERS = HeadFacts(RUN)


def without(run: Run, *arrays: str, layers: range | None = None) -> Run:
    """The run with some layers of attention only, and without some arrays."""
    attention = run.analyses["attention"]
    kept = {
        k: replace(r, arrays={n: a for n, a in r.arrays.items() if n not in arrays})
        for k, r in attention.layers.items()
        if layers is None or k in layers
    }
    return run.with_analysis(replace(attention, layers=kept))


def arrays(layer: int) -> dict[str, np.ndarray]:
    return {k: v.astype(np.float64) for k, v in RUN.analyses["attention"].layers[layer].arrays.items()}


def test_the_table_by_hand() -> None:
    share = arrays(4)["share"]
    table = NUMBERS.table("image share", None, "all")
    assert table.shape == (5, 12)
    assert table[3, 4] == pytest.approx(sum(share[t, 2, 1] for t in range(3)) / 3)
    assert table[0] == pytest.approx(table[1:].mean(axis=0))
    assert NUMBERS.table("image share", 1, "all")[3, 4] == pytest.approx(share[1, 2, 1])
    paper = share[1, 2, 1] / (share[1, 2, 0] + share[1, 2, 1] + share[1, 2, 2])
    assert NUMBERS.table("image share", 1, "paper")[3, 4] == pytest.approx(paper)
    entropy = arrays(4)["entropy"]
    assert NUMBERS.table("entropy", None, "paper")[3, 4] == pytest.approx(entropy[:, 2].mean())
    assert NUMBERS.table("entropy", 2, "all")[0, 4] == pytest.approx(entropy[2].mean())


@pytest.mark.parametrize("norm", ["all", "paper", "no-sink", "value"])
def test_the_mean_row_is_what_the_main_view_shows(norm: str) -> None:
    facts = Facts(RUN)
    for token in (None, 1):
        assert NUMBERS.table("image share", token, norm)[0] == pytest.approx(facts.shares(token, norm)[:, 1])
        assert NUMBERS.shares(4, None, token, norm) == pytest.approx(facts.shares(token, norm)[4])


def test_the_strongest_come_first() -> None:
    table = NUMBERS.table("image share", None, "all")[1:]
    ranked = NUMBERS.strongest("image share", None, "all")
    best = ranked[0]
    assert len(ranked) == 48
    assert best.value == table.max() == table[best.head, best.layer]
    assert ranked.place(best.layer, best.head) == 0
    assert ranked.place(best.layer, None) is None
    assert list(ranked.values) == sorted(ranked.values, reverse=True)
    focused = NUMBERS.strongest("entropy", None, "all")
    assert focused[0].value == NUMBERS.table("entropy", None, "all")[1:].min()


def test_missing_layers_and_layers_without_attention_are_gaps() -> None:
    run = without(RUN, layers=range(3, 6))
    empty = dict(run.analyses["attention"].layers[4].arrays)
    empty |= {name: empty[name][:, :0] for name in ("share", "value_share", "sink", "entropy")}
    empty["head_rows"] = empty["head_rows"][:0]
    run = run.with_layer(run.analyses["attention"].parameters, LayerResult("attention", 4, empty))
    numbers = HeadFacts(run)
    table = numbers.table("image share", None, "all")
    assert np.isfinite(table[:, [3, 5]]).all()
    assert np.isnan(np.delete(table, [3, 5], axis=1)).all()
    assert len(numbers.strongest("image share", None, "all")) == 8
    assert numbers.shares(4, 0, None, "all") is None
    assert len(HeadFacts(random_run(analyses=())).strongest("entropy", None, "all")) == 0


def test_layers_of_an_old_run_have_no_entropy_beside_new_ones_that_do() -> None:
    old, new = without(RUN, "entropy").analyses["attention"], RUN.analyses["attention"]
    run = RUN.with_analysis(replace(old, layers={**old.layers, 3: new.layers[3]}))
    table = HeadFacts(run).table("entropy", None, "all")
    assert np.flatnonzero(np.isfinite(table[0])).tolist() == [3]


def test_numbers_are_made_once_per_facts() -> None:
    facts = Facts(RUN)
    assert head_facts(facts) is head_facts(facts)
    assert head_facts(facts) is not head_facts(Facts(RUN))


async def test_keys_choose_a_head_and_back_to_the_mean() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3", "k")
        assert app.look.head is None
        await pilot.press("j", "j", "j")
        assert app.look.head == 2
        await pilot.press("J")
        assert app.look.head == 3
        await pilot.press("k")
        assert app.look.head == 2
        await pilot.press("K")
        assert app.look.head is None
        await pilot.press("j", "u")
        assert app.look.head is None


async def test_s_goes_through_the_strongest() -> None:
    app = ExplorerApp(RUN)
    ranked = NUMBERS.strongest("image share", None, "all")
    shown = await see(app, "heads", "s")
    assert (app.look.layer, app.look.head) == (ranked[0].layer, ranked[0].head)
    assert f"layer {ranked[0].layer} head {ranked[0].head} {100 * ranked[0].value:.1f} %" in " ".join(shown.split())
    assert "1 of 48" in shown
    again = ExplorerApp(RUN)
    await see(again, "heads", "s", "s", "s")
    assert (again.look.layer, again.look.head) == (ranked[2].layer, ranked[2].head)
    around = ExplorerApp(RUN)
    await see(around, "heads", *["s"] * 13)
    assert (around.look.layer, around.look.head) == (ranked[0].layer, ranked[0].head)


async def test_turned_it_shows_entropy() -> None:
    shown = await see(ExplorerApp(RUN), "heads", "t", "j", "l")
    value = NUMBERS.table("entropy", None, "all")[1, 1]
    assert "Entropy of attention" in shown
    assert "Most focused" in shown
    assert f"entropy {value:.2f} nats" in shown
    assert " nats" in shown.split("Most focused")[1]
    assert "Image share of attention" in await see(ExplorerApp(RUN), "heads", "t", "t")


async def test_the_chosen_head_in_numbers() -> None:
    shown = " ".join((await see(ExplorerApp(RUN), "heads", "l", "l", "j", "right_square_bracket")).split())
    share = arrays(2)["share"][0, 0]
    assert f"Layer 2, head 0: image {100 * share[1]:.1f} %, system {100 * share[0]:.1f} %" in shown.replace(
        "\u00a0", " "
    )
    assert "token 0" in shown


async def test_enter_opens_the_heads_map_in_the_main_view() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3", "l", "j", "j", "enter")
        await pilot.pause()
        assert app.look == Look(layer=1, view="main", kind="attention", head=1)
        shown = text_of(app, "map")
        assert "head 1, all tokens" in shown.splitlines()[0]
        high = 100 * RUN.analyses["attention"].layers[1].arrays["head_rows"][1].max()
        assert f"{high:.1f} %" in shown
        await pilot.press("2")
        await pilot.pause()
        assert "head 1" in text_of(app, "view-grid").splitlines()[0]
        await pilot.press("1", "m")
        await pilot.pause()
        assert "head" not in text_of(app, "map").splitlines()[0]
        await pilot.press("m", "m", "u")
        await pilot.pause()
        assert app.look.kind == "attention"
        assert "head" not in text_of(app, "map").splitlines()[0]


async def test_a_click_chooses_layer_and_head() -> None:
    app = ExplorerApp(RUN)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("3")
        await pilot.pause()
        lines = text_of(app, "view-heads").splitlines()
        row = next(i for i, text in enumerate(lines) if text[:6].strip() == "2")
        axis = next(text for text in lines if text.startswith("layer "))
        await pilot.click("#view-heads", offset=(1 + axis.index(" 7 ") + 1, row))
        await pilot.pause()
        assert (app.look.layer, app.look.head) == (7, 2)
        await pilot.click("#view-heads", offset=(1 + axis.index(" 3 ") + 1, 1))
        await pilot.pause()
        assert (app.look.layer, app.look.head) == (3, None)
        await pilot.click("#view-heads", offset=(100, 20))
        assert (app.look.layer, app.look.head) == (3, None)


@pytest.mark.parametrize(
    ("run", "keys", "says"),
    [
        (random_run(analyses=()), "", "No attention yet. Press r to compute it."),
        (without(RUN, "entropy"), "t", "made before the entropy of heads was kept"),
        (without(RUN, "head_rows"), "j", "made before heads were kept"),
        (without(RUN, layers=range(3)), "G j", "not computed yet. Press r."),
    ],
)
async def test_what_is_missing_is_said(run: Run, keys: str, says: str) -> None:
    shown = await see(ExplorerApp(run), "heads", *keys.split())
    # A note in the right column runs over several of its lines.
    right = " ".join(line[line.find("  ", 40) :].strip() for line in shown.splitlines())
    assert says in " ".join(shown.split()) or says in " ".join(right.split())


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40), (200, 60)])
@pytest.mark.parametrize(("layers", "heads"), [(1, 1), (12, 4), (32, 32), (96, 64)])
async def test_legends_and_units_at_every_size(size: tuple[int, int], layers: int, heads: int) -> None:
    run = random_run(layers=layers, heads=heads, cliff=None, analyses=("attention",))
    for graphics in (None, Ascii()):
        shown = await see(ExplorerApp(run, graphics=graphics), "heads", "s", size=size)
        assert "mage share" in shown
        assert "100 %" in shown
        assert "Most image" in shown
        assert "mean" in shown
        assert "\nlayer " in shown
        assert shown.count(" %") + shown.count("\u00a0%") >= 4
        assert "…" not in shown
