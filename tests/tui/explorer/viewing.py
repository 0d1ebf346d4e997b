"""An explorer of its own per call: opens a view, presses keys, and returns what is on screen."""

from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.look import VIEWS, View
from flowtui.tui.explorer.panel import Panel


def text_of(app: ExplorerApp, panel: str) -> str:
    """What a panel shows."""
    return "\n".join(strip.text for strip in app.screen_stack[0].query_one(f"#{panel}", Panel)._lines)


async def see(app: ExplorerApp, view: View, *keys: str, size: tuple[int, int] = (120, 40)) -> str:
    """The view's text after some keys; every line is as wide as the panel."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press(str(list(VIEWS).index(view) + 1), *keys)
        await pilot.pause()
        panel = app.screen_stack[0].query_one(f"#view-{view}", Panel)
        assert panel.display == (app.look.view == view)
        assert {strip.cell_length for strip in panel._lines} <= {panel.size.width}
        return text_of(app, f"view-{view}")
