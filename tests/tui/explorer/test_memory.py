import json
from pathlib import Path

import pytest

from flowtui.tui.explorer.look import OPACITIES, Limits, Look, look_from_plain
from flowtui.tui.explorer.memory import MAX_RUNS, recall, remember, run_key
from tests.factories import random_run

RUN = random_run()


def test_a_look_survives_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "explorer.json"
    other = random_run(answer=("no",))
    remember(path, RUN, Look(layer=3, token=1, kind="attention", opacity=OPACITIES[0], view="grid", norm="paper"))
    remember(path, other, Look(layer=1))
    assert recall(path, RUN) == Look(
        layer=3, token=1, kind="attention", opacity=OPACITIES[0], view="grid", norm="paper"
    )
    assert recall(path, other) == Look(layer=1)
    assert run_key(RUN) == run_key(random_run()) != run_key(other)


def test_old_runs_make_room(tmp_path: Path) -> None:
    path = tmp_path / "explorer.json"
    path.write_text(json.dumps({str(i): {} for i in range(MAX_RUNS + 50)}))
    remember(path, RUN, Look(layer=2))
    kept = json.loads(path.read_text())
    assert len(kept) == MAX_RUNS
    assert recall(path, RUN).layer == 2


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}'])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "explorer.json"
    path.write_bytes(content)
    assert recall(path, RUN) == Look()
    remember(path, RUN, Look(layer=4))
    assert recall(path, RUN).layer == 4


def test_failure_is_silent(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    remember(blocked / "below" / "explorer.json", RUN, Look(layer=4))
    remember(None, RUN, Look(layer=4))
    assert recall(blocked / "below" / "explorer.json", RUN) == Look()
    assert recall(None, RUN) == Look()


@pytest.mark.parametrize(
    "plain",
    [None, 5, {"layer": 12}, {"layer": -1}, {"layer": True}, {"layer": 1.0}, {"token": 3}, {"kind": "smoke"},
     {"opacity": False}, {"view": ["main"]}, {"norm": {}}],
)  # fmt: skip
def test_what_does_not_fit_falls_back(plain: object) -> None:
    assert look_from_plain(plain, Limits(12, 3, 4, 144)) == Look()
