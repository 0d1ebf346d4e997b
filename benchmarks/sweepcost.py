"""Holds the cost model of docs/scale.md against a sweep that is timed. Run: python -m benchmarks.sweepcost.

The model's terms are timed one by one (encoding an image, a pass over the prompt, a pass over its text alone, a step of
decoding), put together by the formula, and compared with the groups of a sweep in CPU time of one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from typing import Any

import torch

from benchmarks.scene import QUESTION, Size, build_scene, picture
from benchmarks.timing import Work, clock, time_sides, use_cpu_clock
from flowtui.engine.datasets.demo import open_demo
from flowtui.engine.inputs import Inputs, prepare
from flowtui.engine.loaded import Loaded
from flowtui.engine.models import load_model
from flowtui.engine.sweeps.journal import Record
from flowtui.engine.sweeps.plan import Job, Options, spec_of
from flowtui.engine.sweeps.worker import run_group

Payload = dict[str, Any]


def main() -> None:
    """Prints a line per model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", type=int, default=8, help="images of the demo world")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    use_cpu_clock()
    print(
        "| model | layers | prompt, text | questions per image | predicted, ms an item | measured | ratio | items/s |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    demo = load_model("demo", dtype="float32", device="cpu")
    job = Job.of(open_demo(options.groups * 8, 1), Options(max_new_tokens=64), demo.info)
    payloads = [job.payload(group) for group in islice(job.groups({}), options.groups)]
    print(_line("demo", demo, payloads, options.rounds), flush=True)
    for size in (Size(layers=16), Size(layers=32)):
        with build_scene(size) as scene:
            questions = [
                {"index": i, "id": str(i), "prompt": f"{QUESTION} w{i}", "traits": False, "done": None}
                for i in range(3)
            ]
            plain = Options(max_new_tokens=4).to_plain()
            payload = {"image": picture(), "model": "x", "options": plain, "questions": questions}
            print(_line("random weights", scene.loaded, [payload], options.rounds), flush=True)


def _line(name: str, loaded: Loaded, payloads: Sequence[Payload], rounds: int) -> str:
    records: list[Record] = []
    for payload in payloads[:1]:  # warms up
        run_group(loaded, payload, lambda _: None, lambda _: None, lambda: False)
    start = clock()
    for payload in payloads:
        run_group(loaded, payload, records.append, lambda _: None, lambda: False)
    measured = (clock() - start) / len(records)
    questions = [(payload, question) for payload in payloads for question in payload["questions"]]
    terms = [
        _predict(loaded, payload, question, record, rounds)
        for (payload, question), record in list(zip(questions, records, strict=True))[:: max(1, len(records) // 6)]
    ]
    predicted = sum(seconds for seconds, _ in terms) / len(terms)
    length, text = (round(sum(values) / len(values)) for values in zip(*(sizes for _, sizes in terms), strict=True))
    cells = (
        name, loaded.info.layers, f"{length}, {text}", f"{len(questions) / len(payloads):.1f}",
        f"{1000 * predicted:.1f}", f"{1000 * measured:.1f}", f"{measured / predicted:.2f}", f"{1 / measured:.2f}",
    )  # fmt: skip
    return "| " + " | ".join(map(str, cells)) + " |"


def _predict(
    loaded: Loaded, payload: Payload, question: dict[str, Any], record: Record, rounds: int
) -> tuple[float, tuple[int, int]]:
    """Seconds of one item by the formula, and (n, t)."""
    options = Options.from_plain(payload["options"])
    spec = spec_of("x", payload["image"], question["prompt"], options.max_new_tokens)
    inputs = prepare(loaded, spec, may_be_empty=True)
    text = inputs.length - len(inputs.image_positions)
    works = _works(loaded, inputs, text)
    with torch.inference_mode():
        seconds = {key: timed.seconds for key, timed in time_sides(works, rounds).items()}
    row = max(0.0, seconds["nine"] - seconds["step"]) / 8
    layers, answer = loaded.info.layers, len(record["ids"]) + 1
    # Where cutting changes the answer, it is decoded: all such K in one batch, a step for each token.
    changed = sum(not same for same in record["curves"][0]["same"])
    steps = answer * seconds["step"] + (options.max_new_tokens if _is_long(record) else answer) * (
        seconds["step"] * (changed > 0) + row * changed
    )
    whole = seconds["encode"] / len(payload["questions"]) + seconds["prompt"] + (layers + 1) / 2 * seconds["text"]
    return whole + steps, (inputs.length, text)


def _is_long(record: Record) -> bool:
    """Whether some answer at a K ran on to the limit."""
    words = [len(text.split()) for text in record["curves"][0]["texts"]]
    return max(words) > 2 * max(1, len(record["answer"].split()))


def _works(loaded: Loaded, inputs: Inputs, text: int) -> dict[str, Work]:
    model: Any = loaded.model
    language = model.model.language_model
    pixels = inputs.model_inputs["pixel_values"]
    embeds = torch.zeros(1, inputs.length, loaded.model.get_input_embeddings().weight.shape[1])
    cache = language(inputs_embeds=embeds, use_cache=True).past_key_values

    def step(rows: int) -> Any:
        model.lm_head(language(inputs_embeds=embeds[:, :rows], past_key_values=cache, use_cache=True).last_hidden_state)
        cache.crop(-rows)

    return {
        "encode": lambda: model.model.get_image_features(pixel_values=pixels),
        "prompt": lambda: language(inputs_embeds=embeds, use_cache=True),
        "text": lambda: language(inputs_embeds=embeds[:, :text], use_cache=False),
        "step": lambda: step(1),
        "nine": lambda: step(9),
    }


if __name__ == "__main__":
    main()
