"""What somebody new looks for, with what the screen itself says: a few keys away, on a shipped run."""

from pathlib import Path

import pytest

from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.panel import Panel
from flowtui.tui.readfile import read_file

RUN = Path(__file__).parents[3] / "examples" / "shape.pkl"


def text_of(app: ExplorerApp, panel: str) -> str:
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_layer_cliff_head_and_text_without_the_image(size: tuple[int, int]) -> None:
    app = ExplorerApp(read_file(RUN), path=RUN)
    async with app.run_test(size=size) as pilot:

        async def press(*keys: str) -> None:
            """Keys that the last line names."""
            for key in keys:
                assert f"{key} " in text_of(app, "status") or f"/{key} " in text_of(app, "status")
                await pilot.press(key)
                await pilot.pause()

        # The text at K = 0: on the first screen.
        assert "K 0: no layer sees the image" in text_of(app, "curve")
        assert "answers “letter no”" in " ".join(text_of(app, "curve").split())
        # The cliff.
        await press("c")
        assert (app.look.layer, "cliff K 9" in text_of(app, "curve")) == (9, True)
        # The sharpest maps: the second one lies on the red circle, which is what was asked about.
        await press("v", "s", "s")
        assert (app.look.view, app.look.layer) == ("grid", 7)
        # Cells of 8 pixels; the circle's box is 36,38,58,60.
        assert app.facts.heat_of(app.look).peak == "peak row 6 col 5"
        # The head that looks most at the image.
        await press("v", "s")
        assert app.look.view == "heads"
        assert "Layer 4, head 3" in text_of(app, "view-heads")
        assert "image 100.0 %" in text_of(app, "view-heads")
