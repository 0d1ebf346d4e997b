"""What is wrong with the engine stays on the screen for as long as it is true."""

from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace

from flowtui.engine.results import Run
from flowtui.engine.workflow import Progress, Request, Update
from flowtui.errors import EngineError, LineError
from flowtui.tui.explorer.app import ExplorerApp
from flowtui.tui.explorer.banner import Banner
from tests.factories import random_run

FULL = random_run()
EMPTY = replace(FULL, analyses={})
LOST = "The line to gpu-1 was lost\x1b]52;c;AAAA\x07. Connecting again."


def banner(app: ExplorerApp) -> str:
    return " ".join(str(found.content) for found in app.screen_stack[0].query(Banner))


async def until(pilot, condition) -> None:  # type: ignore[no-untyped-def]
    for _ in range(500):
        await pilot.pause(0.01)
        if condition():
            return
    raise AssertionError("it never happened")


async def test_a_lost_line_is_said_until_the_next_layer(fake_engine) -> None:  # type: ignore[no-untyped-def]
    class Losing(fake_engine):  # type: ignore[misc, valid-type]
        async def compute(self, run: Run, requests: Sequence[Request]) -> AsyncGenerator[Update, None]:
            async for update in super().compute(run, requests):
                yield update
                if self.sent == 2:
                    yield Update(update.run, Progress("reconnect", text=LOST))

    engine = Losing(FULL)
    app = ExplorerApp(EMPTY, engine=engine)
    async with app.run_test(size=(100, 30)) as pilot:
        height = app.screen.query_one("#body").size.height
        await pilot.press("r")
        engine.allow(2)
        await until(pilot, lambda: banner(app))
        assert banner(app) == LOST.replace("\x1b", "␛").replace("\x07", "␇")
        assert app.screen.query_one(Banner).region.y == 0
        assert app.screen.query_one("#body").size.height < height
        assert app.busy is not None
        assert app.busy.text == "connecting again"
        engine.allow(1)
        await until(pilot, lambda: not banner(app))
        await until(pilot, lambda: app.screen.query_one("#body").size.height == height)
        assert sorted(app.facts.run.analyses["attention"].layers) == [0, 1, 2]


async def test_an_engine_that_goes_while_idle_is_said_until_esc(fake_engine) -> None:  # type: ignore[no-untyped-def]
    engine = fake_engine(FULL)
    app = ExplorerApp(FULL, engine=engine)
    async with app.run_test(size=(100, 30)) as pilot:
        engine.on_lost(EngineError("The engine was ended by SIGKILL."))
        await until(pilot, lambda: banner(app))
        assert banner(app) == "The engine was ended by SIGKILL. The next computation starts it again."
        await pilot.press("escape")
        await until(pilot, lambda: not banner(app))


async def test_a_line_that_does_not_come_back_is_said_and_what_arrived_is_kept(fake_engine) -> None:  # type: ignore[no-untyped-def]
    engine = fake_engine(FULL, fail_at=3, error=LineError("The line to gpu-1 was lost.", "Ask again."))
    app = ExplorerApp(EMPTY, engine=engine)
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("r")
        engine.allow(4)
        await until(pilot, lambda: app.busy is None)
        await until(pilot, lambda: banner(app))
        assert banner(app) == "The line to gpu-1 was lost."
        assert len(app.facts.run.analyses["attention"].layers) == 3
        engine.fail_at = None
        engine.allow(200)
        await pilot.press("r")
        await until(pilot, lambda: not banner(app) and app.facts.missing == ())
