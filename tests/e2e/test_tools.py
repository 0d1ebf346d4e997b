"""demo, doctor, models and cache."""

from __future__ import annotations

import json
from pathlib import Path

from flowtui.engine.demo.examples import Example
from flowtui.engine.spec import ANALYSES
from tests.e2e.terminal import COMMAND, Call, Open


def test_the_demo_prints_answer_layers_and_cliff(flowtui: Call, example: Example) -> None:
    # Neither stdin nor stdout is a terminal: no explorer, even without --no-tui.
    out = flowtui("demo").stdout
    assert example.question in out
    assert f"answer   {example.answer}" in out
    assert "cliff    K = " in out
    numbers = [line.split()[0] for line in out.splitlines() if line.strip()]
    assert all(str(layer) in numbers for layer in range(13))


def test_in_a_terminal_the_demo_opens_the_explorer(terminal: Open, example: Example) -> None:
    screen = terminal(COMMAND, "demo")
    # Whichever layer it was left at.
    assert "cliff" in screen.wait_for(lambda text: "/11" in text and "q quit" in text)
    screen.send("q")
    assert screen.wait_for_end() == 0


def test_doctor_says_what_is_there_and_why(flowtui: Call, home: Path) -> None:
    report = json.loads(flowtui("doctor", "--json", TMUX="/tmp/tmux,1,0").stdout)
    assert report["versions"]["flowtui"]
    assert report["engine"]["torch"]
    assert any(device["name"] == "cpu" for device in report["engine"]["devices"])
    assert report["terminal"]["graphics"] == "halfblock"
    assert "tmux" in report["terminal"]["why"]
    assert report["cache"]["folder"].startswith(str(home))
    assert "FLOWTUI_CACHE_DIR" in report["cache"]["why"]
    text = flowtui("doctor", FLOWTUI_GRAPHICS="ascii").stdout
    assert "FLOWTUI_GRAPHICS asks for it" in text


def test_models_are_listed_and_checked(flowtui: Call) -> None:
    assert "llava" in flowtui("models").stdout
    report = json.loads(flowtui("models", "--check", "demo", "--device", "cpu", "--json").stdout)
    assert (report["family"], report["layers"], report["image_tokens"], report["grids"]) == (
        "llava",
        12,
        144,
        [[12, 12]],
    )
    assert report["self_test_error"] < 1e-4
    directory = Path(report["directory"])
    weights = sum(path.stat().st_size for path in directory.glob("*.safetensors"))
    analyses = {row["analysis"]: row for row in report["memory"]["analyses"]}
    assert list(analyses) == list(ANALYSES)
    assert all(row["fits"] and row["bytes"] > 0 and row["seconds"] > 0 for row in analyses.values())
    assert report["memory"]["free_bytes"] > analyses["cam"]["bytes"] > report["memory"]["pass_bytes"]
    # float32 on a CPU: as many bytes as the file has but for its header, or twice that if it holds half precision.
    assert 0.95 * weights < report["memory"]["weights_bytes"] < 2.05 * weights


def test_the_cache_can_be_looked_after(flowtui: Call, run_file: Path, tmp_path: Path) -> None:
    assert json.loads(flowtui("cache", "info", "--json").stdout)["entries"] >= 37
    listed = json.loads(flowtui("cache", "list", "--json").stdout)
    assert {"attention", "cam", "truncation"} <= {entry["analysis"] for entry in listed}
    assert len(flowtui("cache", "list").stdout.splitlines()) == len(listed)
    assert " 0 bad" in flowtui("cache", "verify").stdout
    own = {"FLOWTUI_CACHE_DIR": str(tmp_path / "cache")}
    copy = tmp_path / "copy.pkl"
    copy.write_bytes(run_file.read_bytes())
    flowtui("precompute", copy, "--force", "--analysis", "attention", **own)
    assert "layers removed" in flowtui("cache", "prune", "--max-size", "1K", **own).stdout
    flowtui("cache", "clear", **own)
    assert json.loads(flowtui("cache", "info", "--json", **own).stdout)["entries"] == 0
