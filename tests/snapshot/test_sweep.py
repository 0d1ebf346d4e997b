"""A sweep as a picture: `pytest tests/snapshot --snapshot-update` after a change that is meant."""

import pytest

from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.sweeplook import SweepLook
from tests.tui.explorer.sweeps import BOTH, LARGE, PATH, found_facts, settled


def explorer(sweep, look: SweepLook) -> ExplorerApp:  # type: ignore[no-untyped-def]
    """An explorer of a sweep whose cliff has been found."""
    app = ExplorerApp(sweep, path=PATH)
    app.sweeps[0].facts, app.sweeps[0].look = found_facts(sweep), look
    return app


async def wait(pilot) -> None:  # type: ignore[no-untyped-def]
    await settled(pilot.app, pilot)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20)])
def test_sweep(snap_compare, size: tuple[int, int]) -> None:
    app = explorer(LARGE, SweepLook(k=5))
    assert snap_compare(app, terminal_size=size, press=["j", "j"], run_before=wait)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_difference_of_a_metric_where_less_is_better(snap_compare, size: tuple[int, int]) -> None:
    app = explorer(BOTH, SweepLook(k=6, metric=1, curve=1, which="all", difference=True))
    assert snap_compare(app, terminal_size=size, run_before=wait)


def test_in_a_light_theme(snap_compare) -> None:
    async def light(pilot) -> None:
        pilot.app.theme = "textual-light"
        await wait(pilot)

    assert snap_compare(explorer(LARGE, SweepLook(k=5)), terminal_size=(80, 24), run_before=light)


def test_without_colours(snap_compare, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert snap_compare(explorer(LARGE, SweepLook(k=5)), terminal_size=(80, 24), run_before=wait)


def test_nothing_flips(snap_compare) -> None:
    assert snap_compare(explorer(LARGE, SweepLook(k=12)), terminal_size=(80, 24), run_before=wait)
