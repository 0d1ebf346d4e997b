"""Made-up runs for tests that need a run but no model."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
from PIL import Image

from flowtui.engine.results import GROUPS, Analysis, Answer, LayerResult, ModelInfo, Projection, Run, Span, Tokens
from flowtui.engine.shapes import EDGES, MAPS
from flowtui.engine.spec import (
    ANALYSES,
    AttentionParameters,
    CamParameters,
    FaithfulnessParameters,
    KnockoutParameters,
    LensParameters,
    MatrixParameters,
    RunSpec,
    SaliencyParameters,
    TruncationParameters,
    parameters_to_plain,
)
from flowtui.engine.sweeps.result import CurveSet, Sweep, SweptItem, SweptModel, Traits
from flowtui.engine.token_texts import write_texts


def png(width: int = 96, height: int = 96, seed: int = 0) -> bytes:
    """A PNG of random colour blocks."""
    blocks = np.random.default_rng(seed).integers(0, 255, (6, 6, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(blocks).resize((width, height), Image.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()


def random_run(
    layers: int = 12,
    heads: int = 4,
    grid: tuple[int, int] = (12, 12),
    answer: tuple[str, ...] = ("a", "red", "circle"),
    cliff: int | None = 7,
    seed: int = 0,
    analyses: tuple[str, ...] = ANALYSES,
) -> Run:
    """A run whose numbers are random but obey every rule; greedy answers agree from `cliff` on (None: never)."""
    rng = np.random.default_rng(seed)
    system, image, user, t = 14, grid[0] * grid[1], 9, len(answer)
    sizes = (system, image, user, t)
    group = np.repeat(np.arange(4, dtype=np.uint8), sizes)
    before = ["<s>", "<system>", "You", "look", "at", "one", "picture", "and", "answer", "in", "few", "words", "."]
    before.append("<user>")
    after = ["What", "do", "you", "see", "in", "the", "image", "?", "<assistant>"]
    text = (*before, *["<image>"] * image, *after, *answer)
    tokens = Tokens(
        np.arange(len(group), dtype=np.int64),
        text,
        group,
        (Span(0, system, system + image, grid[0], grid[1], grid[1], (0.0, 0.0, 96.0, 96.0)),),
        system + image + user,
    )
    run = Run(
        RunSpec(model="demo", images=(png(),), question="What do you see in the image?"),
        ModelInfo("demo", None, None, "llava", "f" * 32, layers, heads, heads, 128, "float32", "cpu", 1e-7),
        tokens,
        Answer(tuple(range(len(group) - t, len(group))), " ".join(answer), answer, given=False, stopped=True),
        ((96, 96),),
        timings_s={"load": 0.5, "attention": 0.1},
    )
    y, x = np.mgrid[0 : grid[0], 0 : grid[1]]
    made: dict[str, tuple[dict[str, object], dict[int, LayerResult]]] = {}
    if "attention" in analyses:
        results = {}
        for layer in range(layers):
            share = rng.dirichlet(np.array([4, 8 - 6 * layer / layers, 2, 1]), (t, heads)).astype(np.float32)
            arrays = {
                "share": share,
                "value_share": rng.dirichlet(np.ones(len(GROUPS)), (t, heads)).astype(np.float32),
                "sink": share[..., 0] * np.float32(0.8),
                "image_rows": rng.dirichlet(np.ones(image), t).astype(np.float32) * share[..., 1].mean(1)[:, None],
                "text_rows": (
                    rng.dirichlet(np.ones(system + user + t), t) * (1 - share[..., 1].mean(1)[:, None])
                ).astype(np.float32),
                # Without an answer token there is no row to take a mean over.
                "head_rows": (rng.dirichlet(np.ones(image), heads) * share[..., 1].sum(0)[:, None] / max(1, t)).astype(
                    np.float32
                ),
                "entropy": rng.uniform(0, np.log(len(group)), (t, heads)).astype(np.float32),
            }
            results[layer] = LayerResult("attention", layer, arrays)
        made["attention"] = (parameters_to_plain(AttentionParameters()), results)
    if "cam" in analyses:
        results = {}
        for layer in range(layers):
            cy, cx = rng.uniform(0, grid[0]), rng.uniform(0, grid[1])
            one = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8).ravel()
            heat = np.stack([one * rng.uniform(0.5, 2) for _ in range(t + 1)]).astype(np.float32)
            results[layer] = LayerResult("cam", layer, {"heat": heat * np.float32(layer < layers - 1)})
        made["cam"] = (parameters_to_plain(CamParameters()), results)
    if "truncation" in analyses:
        results = {}
        for k in range(layers + 1):
            same = cliff is not None and k >= cliff
            kl = np.full(t, 0.001 if same else 2.0 - k / layers, dtype=np.float32) * np.float32(k < layers)
            arrays = {
                "logprob": np.full(t, -0.1 if same else -3.0, dtype=np.float32),
                "kl": kl,
                "same": np.array(same or k == layers),
                "ids": np.array(run.answer.ids if same else (1, 2), dtype=np.int32),
            }
            results[k] = LayerResult(
                "truncation", k, arrays, " ".join(answer) if same or k == layers else "a blue ring"
            )
        made["truncation"] = (parameters_to_plain(TruncationParameters()), results)
    # Draws of their own: what is drawn above stays as it is.
    if "knockout" in analyses:
        made["knockout"] = _knockout(layers, t, seed)
    if "saliency" in analyses:
        made["saliency"] = _saliency(layers, t, image, seed)
    if "lens" in analyses:
        made["lens"] = _lens(layers, run, seed)
    if "faithfulness" in analyses:
        made["faithfulness"] = _faithfulness(layers, seed)
    if "matrix" in analyses:
        made["matrix"] = _matrix(layers, sizes, seed)
    for name, (parameters, by_layer) in made.items():
        run = run.with_analysis(Analysis(name, parameters, by_layer, 0.1))
    return run


def projected_run(queries: int = 5, grid: tuple[int, int] = (3, 4), layers: int = 4) -> Run:
    """A random run whose image tokens are query tokens that look at a grid of patches."""
    run = random_run(layers=layers, grid=(1, queries), cliff=2)
    (span,) = run.tokens.spans
    weights = np.random.default_rng(5).dirichlet(np.ones(grid[0] * grid[1] + 1), queries)[:, 1:].astype(np.float32)
    projection = Projection(weights, *grid, (0.0, 0.0, 96.0, 96.0))
    spans = (replace(span, rows=0, cols=0, row_stride=0),)
    return replace(run, tokens=replace(run.tokens, spans=spans, projections=(projection,)))


def _knockout(layers: int, t: int, seed: int) -> tuple[dict[str, object], dict[int, LayerResult]]:
    rng = np.random.default_rng((seed, 1))
    base = -rng.uniform(0, 0.2, t).astype(np.float32)
    results = {}
    for layer in range(layers):
        lost = rng.uniform(0, 2, (len(EDGES), t)).astype(np.float32) * np.float32(1 - layer / layers)
        results[layer] = LayerResult("knockout", layer, {"logprob": base - lost, "base": base})
    return parameters_to_plain(KnockoutParameters()), results


def _saliency(layers: int, t: int, image: int, seed: int) -> tuple[dict[str, object], dict[int, LayerResult]]:
    """No key stands after its query: flows to earlier groups are zero, but within a group there are some."""
    rng = np.random.default_rng((seed, 3))
    results = {}
    for layer in range(layers):
        rows = (rng.exponential(1e-3, (t, image)) * np.exp(-layer / layers)).astype(np.float32)
        flow = np.tril(rng.exponential(1e-3, (len(GROUPS), len(GROUPS)))).astype(np.float32)
        flow[GROUPS.index("answer"), GROUPS.index("image")] = rows.mean() if t else 0
        # In the last layer only the answer's rows have a gradient.
        flow[: GROUPS.index("answer")] *= np.float32(layer < layers - 1)
        results[layer] = LayerResult("saliency", layer, {"flow": flow, "image_rows": rows})
    return parameters_to_plain(SaliencyParameters()), results


def _lens(layers: int, run: Run, seed: int) -> tuple[dict[str, object], dict[int, LayerResult]]:
    """Tokens of the run itself stand for a vocabulary; the answer is found from the middle layer on."""
    rng = np.random.default_rng((seed, 4))
    vocabulary = [i for i, text in enumerate(run.tokens.text) if text != "<image>"]
    t, n, top = len(run.answer.ids), len(run.tokens.image_positions), LensParameters().top
    results = {}
    for layer in range(layers):
        found = layer >= layers // 2
        ids = np.array([rng.permutation(vocabulary)[:top] for _ in range(t)], np.int32).reshape(t, top)
        for row, answer in zip(ids, run.answer.ids, strict=True):
            row[:] = [answer, *[i for i in row if i != answer], vocabulary[0]][:top] if found else row
        probs = -np.sort(-rng.dirichlet(np.ones(top + 1), t)[:, :top], axis=1).astype(np.float32)
        image_ids = rng.choice(vocabulary[:12], n).astype(np.int32)
        texts = {int(i): run.tokens.text[i] for i in (*ids.flat, *image_ids)}
        arrays = {
            "ids": ids,
            "probs": probs,
            "rank": np.full(t, 0 if found else top + layer, np.int32),
            "prob": probs[:, 0] if found else probs[:, -1] / 2,
            "image_ids": image_ids,
            "image_probs": rng.uniform(0.01, 1, n).astype(np.float32),
        }
        results[layer] = LayerResult("lens", layer, arrays, write_texts(texts))
    return parameters_to_plain(LensParameters()), results


def _faithfulness(layers: int, seed: int) -> tuple[dict[str, object], dict[int, LayerResult]]:
    """The last layer's CAM is zero, as in the CAM's own results, and stands by reading order."""
    rng = np.random.default_rng((seed, 2))
    fraction = np.linspace(0, 1, FaithfulnessParameters().steps + 1, dtype=np.float32)
    chance = rng.uniform(0.2, 0.9, len(fraction)).astype(np.float32)
    results = {}
    for layer in range(layers):
        fall = rng.uniform(1, 9, (len(MAPS), 1))
        deletion = np.vstack([np.exp(-fall * fraction), chance]).astype(np.float32)
        insertion = np.vstack([1 - np.exp(-fall * fraction), chance[::-1]]).astype(np.float32)
        ranked = np.array([name != "cam" or layer < layers - 1 for name in MAPS])
        arrays = {"deletion": deletion, "insertion": insertion, "fraction": fraction, "ranked": ranked}
        results[layer] = LayerResult("faithfulness", layer, arrays)
    return parameters_to_plain(FaithfulnessParameters()), results


def _matrix(layers: int, sizes: tuple[int, ...], seed: int) -> tuple[dict[str, object], dict[int, LayerResult]]:
    """Cells of about four tokens, or more in a long sequence; nobody looks ahead, and much goes to the first cell."""
    rng = np.random.default_rng((seed, 5))
    edges, start, each = [0], 0, max(4, sum(sizes) // 128)
    for size in sizes:
        count = -(-size // each)
        edges += [start + round((i + 1) * size / count) for i in range(count)]
        start += size
    cells = len(edges) - 1
    results = {}
    for layer in range(layers):
        share = np.tril(rng.exponential(1, (cells, cells)) ** 3)
        share[:, 0] += cells
        share /= share.sum(1, keepdims=True)
        arrays = {"share": share.astype(np.float32), "edges": np.array(edges, dtype=np.int32)}
        results[layer] = LayerResult("matrix", layer, arrays)
    return parameters_to_plain(MatrixParameters()), results


def random_sweep(
    layers: int = 12,
    items: int = 40,
    cliff: int = 7,
    curves: tuple[tuple[str, int], ...] = (("all", 0), ("top-r", 16), ("random-r", 16)),
    seed: int = 0,
    traits: bool = True,
) -> Sweep:
    """A sweep of yes-no questions, two to an image, whose answers go astray below `cliff`; top-r loses least."""
    rng = np.random.default_rng((seed, 6))
    truth = ["yes" if i % 2 else "no" for i in range(items)]
    other = {"yes": "no", "no": "yes"}
    answers = [(t if rng.random() < 0.85 else other[t]).capitalize() for t in truth]
    # Both answers may be distinct texts of an item; the score is of the first word alone.
    texts = [(a, other[a.lower()].capitalize()) for a in answers]
    rows = tuple(
        SweptItem(
            id=f"q{i}",
            image=f"image-{i // 2}.png" if i % 10 != 9 else None,
            cluster=f"image-{i // 2}",
            kind=("colour", "shape", "presence")[i % 3],
            prompt=f"Is there a circle in picture {i}?",
            truth={"answer": truth[i]},
            tokens=1,
            texts=texts[i],
            counts={"accuracy": tuple((float(text.lower() == truth[i]), 1.0) for text in texts[i])},
        )
        for i in range(items)
    )
    k = np.arange(layers + 1)
    image = np.array([row.image is not None for row in rows])[:, None]
    made = []
    for strategy, r in curves:
        lost = np.clip((cliff - k) / max(1, cliff), 0, 1) * (0.6 if strategy == "all" else 0.3)
        differ = (rng.random((items, 1)) < lost) & image
        kl = (rng.exponential(1, (items, 1)) * lost + 0.001 * (k < layers)) * image
        logprob = -rng.exponential(0.1, (items, 1)) * np.ones(layers + 1) - kl
        made.append(
            CurveSet(strategy, r, differ.astype(np.uint16), logprob.astype(np.float32), kl.astype(np.float32), ~differ)
        )
    found = None
    if traits:
        index = np.flatnonzero(image[:, 0])[::2].astype(np.int32)
        names = ("attention.image_share", "attention.focus", "cam.focus", "cam.peak")
        found = Traits(index, {name: rng.random((len(index), layers)).astype(np.float32) for name in names})
    return Sweep(
        "demo",
        "d" * 32,
        (),
        SweptModel("demo", None, "llava", "f" * 32, layers, 4, 4, 128, "float32"),
        {"seed": seed, "limit": items, "max_new_tokens": 16, "margin": 0.01},
        {"accuracy": False},
        rows,
        tuple(made),
        found,
    )
