"""What the comparison with lm-evaluation-harness counts and asks."""

from __future__ import annotations

import pytest

from evalkit.model.config import SIZES
from evalkit.tokenizer import Tokenizer
from evalkit.types import Request, Response
from tests.benchmarks.engine_peer.ours import needed_flops, requests
from tests.benchmarks.engine_peer.works import model_works, works

SHAPE = SIZES["117M"]


def flops(*, tokens, scores, places):
    matrices = SHAPE.block_parameters * tokens + SHAPE.vocab_size * SHAPE.d_model * scores
    return 2 * matrices + 4 * SHAPE.n_layer * SHAPE.d_model * places


def asked(kind, *pairs):
    return [Request(kind=kind, task="t", doc_id="0", context_ids=a, continuation_ids=b) for a, b in pairs]


def test_shared_beginnings_count_once():
    scored = asked("loglikelihood", ((1, 2, 3), (4, 5)), ((1, 2, 3), (6,)), ((1, 2, 3), (4, 7)))
    found = needed_flops(scored, [Response()] * 3)
    assert found == pytest.approx(flops(tokens=4, scores=2, places=1 + 2 + 3 + 4))  # 1 2 3 4 read; after 3 and 4 scored
    generated = asked("generate_until", ((1, 2), ()), ((1, 3), ()))
    found = needed_flops(generated, [Response(tokens=2)] * 2)
    assert found == pytest.approx(flops(tokens=3 + 4, scores=4, places=1 + 2 + 2 + 2 * 2 * 2))


def test_every_line_can_be_asked_without_data():
    tokenizer = Tokenizer.train(["the cat sat on a mat " * 4], vocab_size=300)
    lines = works(None, tokenizer, scale=0.1)
    assert len(lines) == 11 and len({line.name for line in lines}) == 11
    for line in lines:
        job = {"kind": line.kind, "texts": line.texts, "until": ["\n"], "max_tokens": 16}
        assert len(requests(job, tokenizer)) == len(line.texts) >= 1
    fixed = lines[1].texts
    assert all(context.startswith(fixed[0][0][:40]) for context, _ in fixed)


def test_lines_for_a_trained_model_are_asked_of_real_texts(data_dir):
    lines = model_works(data_dir, Tokenizer.load(data_dir / "gpt2-bpe"), scale=0.2)
    assert [line.kind for line in lines] == ["loglikelihood"] * 5 + ["generate_until"]
    winogrande, boolq, hellaswag = (line.texts for line in lines[2:5])
    assert winogrande[0][1] == winogrande[1][1] and winogrande[0][0] != winogrande[1][0]
    assert boolq[0][0] == boolq[1][0] and [text[1] for text in boolq[:2]] == [" no", " yes"]
    assert len({context for context, _ in hellaswag}) == len(hellaswag) // 4
    assert lines[5].texts[0][0].count("Q: ") == lines[0].texts[0][0].count("Question: ") == 6
