"""A training that starts from weights: their bits, what must fit, the record, and what reports make of it."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from processes import CONFIG, SHAPE

from evalkit import corpus as corpora
from evalkit.cli import main
from evalkit.errors import CheckpointError, UsageError
from evalkit.model import record, weights
from evalkit.model.folder import content_hash
from evalkit.tokenizer import Tokenizer
from evalkit.train import start as starts
from evalkit.train.log import read_metrics
from evalkit.train.loop import Trainer, train
from evalkit.train.presets import nearest
from tests.model.formats import trainers
from tests.model.formats.trainers import gpt2_state, nanogpt_file


@pytest.fixture(scope="module")
def base(words, tmp_path_factory):
    """A folder with trained weights."""
    out = tmp_path_factory.mktemp("base")
    train(CONFIG, *words, out)
    return out


@pytest.fixture
def facts():
    def of(folder):
        return record.facts(json.loads((folder / "training.json").read_text()))

    return of


def test_the_weights_and_the_loss_go_on_from_there(base, words, tmp_path):
    start = starts.load(str(base))
    trainer = Trainer(CONFIG, *words, tmp_path, start=start)
    for ours, theirs in zip(trainer.model.parameters(), start.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    train(dataclasses.replace(CONFIG, log_every=1), *words, tmp_path / "out", start=start)
    before, after = read_metrics(base), read_metrics(tmp_path / "out")
    assert after[0]["loss"] < before[0]["loss"] - 0.5


def test_the_record_says_what_it_started_from(base, words, tmp_path, facts):
    train(CONFIG, *words, tmp_path / "out", start=starts.load(str(base)))
    made = json.loads((tmp_path / "out" / "training.json").read_text())
    assert made["settings"]["start"] == made["from"]["hash"] == content_hash(base)
    assert (made["from"]["model"], made["from"]["step"], made["from"]["tokens"]) == (str(base), 20, CONFIG.tokens)
    assert made["tokens"] == CONFIG.tokens
    assert facts(tmp_path / "out")["tokens"] == 2 * CONFIG.tokens
    assert facts(tmp_path / "out")["flops"] == 2 * facts(base)["flops"]
    assert facts(tmp_path / "out")["ladder"] == f"words from {base}"
    assert facts(tmp_path / "out")["recipe"] != facts(base)["recipe"]
    again = starts.load(str(tmp_path / "out"))
    assert again.tokens == 2 * CONFIG.tokens


def test_weights_of_unknown_history_have_read_nobody_knows_how_much(base, words, tmp_path, facts):
    model, tokenizer = weights.load(base)
    weights.save(model, tokenizer, tmp_path / "bare", record=None)
    train(CONFIG, *words, tmp_path / "out", start=starts.load(str(tmp_path / "bare")))
    assert facts(tmp_path / "out")["tokens"] is facts(tmp_path / "out")["flops"] is None
    assert json.loads((tmp_path / "out" / "training.json").read_text())["from"]["tokens"] is None


def test_resuming_has_the_same_bits_and_needs_the_same_start(base, words, tmp_path):
    start = starts.load(str(base))
    whole = train(CONFIG, *words, tmp_path / "whole", start=start)
    trainer = Trainer(dataclasses.replace(CONFIG, start=start.digest), *words, tmp_path / "broken", start=start)
    (tmp_path / "broken").mkdir()
    for _ in range(7):
        trainer._one_step()
    trainer.save()
    again = train(CONFIG, *words, tmp_path / "broken", start=start, resume=True)
    for ours, theirs in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    with pytest.raises(CheckpointError, match=rf"start: {start.digest} -> None"):
        train(CONFIG, *words, tmp_path / "broken", resume=True)


def test_tokenizer_and_shape_must_fit(base, words, tmp_path):
    corpus, tokenizer = words
    start = starts.load(str(base))
    wider = dataclasses.replace(CONFIG, model=dataclasses.replace(SHAPE, d_model=2 * SHAPE.d_model))
    with pytest.raises(CheckpointError, match="shape is not that of"):
        train(wider, corpus, tokenizer, tmp_path / "out", start=start)
    other = Tokenizer.train(["quite another text than before, with other words"], vocab_size=290)
    foreign = corpora.of_texts(["a text of others " * 200], other, tmp_path / "corpus", name="others")
    with pytest.raises(CheckpointError, match=rf"another tokenizer than that of .*--tokenizer {base}"):
        train(CONFIG, foreign, other, tmp_path / "out", start=start)
    assert not (tmp_path / "out").exists()
    train(dataclasses.replace(CONFIG, tokens=256, model=dataclasses.replace(SHAPE, dropout=0.1)), *words,
          tmp_path / "out", start=start)  # fmt: skip


def test_weights_of_another_family_are_trained_and_stay_of_it(words, tmp_path):
    transformers = pytest.importorskip("transformers")
    config = transformers.LlamaConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, intermediate_size=40,
        vocab_size=300, max_position_embeddings=32, tie_word_embeddings=False,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "llama")
    words[1].save(tmp_path / "llama", context=32)
    start = starts.load(str(tmp_path / "llama"))
    trained = train(dataclasses.replace(CONFIG, model=start.model.config), *words, tmp_path / "out", start=start)
    losses = [row["loss"] for row in read_metrics(tmp_path / "out")]
    assert losses[-1] < losses[0] - 0.5
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert type(theirs).__name__ == "LlamaForCausalLM"
    tokens = torch.arange(30)[None]
    with torch.no_grad():
        torch.testing.assert_close(trained.eval()(tokens), theirs(tokens).logits, atol=1e-5, rtol=1e-5)


def test_another_trainer_s_file_with_a_given_tokenizer(words_folder, tmp_path, capsys):
    made = nanogpt_file(tmp_path / "theirs", gpt2_state(vocabulary=300), vocabulary=300)
    asked = ["train", "--from", str(made), "--corpus", str(words_folder), "--tokens", "512", "--sequences", "2"]
    assert main([*asked, "--out", str(tmp_path / "out")]) != 0
    assert "tokenizer" in capsys.readouterr().err
    assert main([*asked, "--tokenizer", str(words_folder), "--out", str(tmp_path / "out")]) == 0
    about = json.loads((tmp_path / "out" / "training.json").read_text())["from"]
    assert about["model"] == str(made)
    stored = starts.load(str(tmp_path / "out"))
    assert (stored.model.config.activation, stored.tokens) == ("gelu", about["tokens"] + 528)


def test_models_of_transformers_and_damaged_ones_are_refused(base, tmp_path):
    with pytest.raises(UsageError, match="only evalkit's own GPT can be trained"):
        starts.load("hf:gpt2")
    with pytest.raises(UsageError, match="unknown model 'nan'; did you mean"):
        starts.load("nan")
    with pytest.raises(CheckpointError, match="no checkpoint file or folder"):
        starts.load(str(tmp_path / "absent"))
    for path in base.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors cannot be read"):
        starts.load(str(tmp_path))


def test_at_the_command_line_raw_text_gets_the_model_s_tokenizer(base, tmp_path, capsys):
    text = tmp_path / "rows.jsonl"
    rows = [json.dumps({"body": f"line {n} of a small text that says little"}) for n in range(900)]
    text.write_bytes("\n".join([*rows, "{", '{"body": null}']).encode() + b'\n{"body": "caf\xe9"}\n')
    asked = ["train", "--from", str(base), "--corpus", str(text), "--column", "body", "--out", str(tmp_path / "out")]
    assert main([*asked, "--tokens", "2k"]) == 2
    assert "line 901: not valid JSON" in (error := capsys.readouterr().err) and "--skip-bad" in error
    assert main([*asked, "--tokens", "2k", "--skip-bad"]) == 0
    assert "3 rows of the corpus without text were skipped" in capsys.readouterr().err
    made = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (made["corpus"]["skipped"], made["settings"]["model"]["context"]) == (3, SHAPE.context)
    assert Tokenizer.load(tmp_path / "out").content_hash() == Tokenizer.load(base).content_hash()
    assert main([*asked, "--tokens", "3k", "--skip-bad", "--resume"]) == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "--from needs --tokens"),
        (["--tokens", "2k", "--vocab", "300"], "--vocab is the model's with --from"),
        (["--tokens", "2k", "--context", "64"], "window must be from 1 to the model's context of 32, not 64"),
        (["--tokens", "2k", "--seed", "0,1"], "--from trains one seed at a time"),
        (["--tokens", "2k", "--size", "pico"], "not allowed with argument"),
    ],
)
def test_options_that_do_not_go_with_a_start(given, message, base, words_folder, tmp_path, capsys):
    asked = ["train", "--from", str(base), "--corpus", str(words_folder), "--out", str(tmp_path / "out"), *given]
    try:
        assert main(asked) == 2
    except SystemExit as stop:  # argparse's own
        assert stop.code == 2
    assert message in capsys.readouterr().err


def test_a_built_corpus_has_its_rows_already(words_folder, tmp_path, capsys):
    asked = ["train", "--size", "pico", "--corpus", str(words_folder), "--out", str(tmp_path), "--skip-bad"]
    assert main(asked) == 2
    assert "belong to the sources of one" in capsys.readouterr().err


def test_sequences_may_be_shorter_than_the_context(base, words_folder, tmp_path):
    out = tmp_path / "out"
    asked = ["train", "--from", str(base), "--corpus", str(words_folder), "--out", str(out), "--context", "16"]
    assert main([*asked, "--tokens", "1280", "--sequences", "4"]) == 0
    made = json.loads((out / "training.json").read_text())
    assert (made["step"], made["tokens"], made["settings"]["window"]) == (20, 1280, 16)
    assert made["flops"] == 1280 * dataclasses.replace(SHAPE, context=16).flops_per_token
    assert weights.load(out)[0].config == SHAPE
    assert main([*asked, "--tokens", "1920", "--sequences", "4", "--resume"]) == 0
    assert read_metrics(out)[-1]["step"] == 30


def test_the_nearest_size():
    assert nearest(SHAPE) == "pico"


@pytest.mark.parametrize("bias", [True, False])
def test_a_training_starts_from_a_file_of_nanogpt(bias, tmp_path):
    """Without biases it gets some of zero, because the checkpoint that it writes has a layout with biases."""
    state = trainers.gpt2_state(bias=bias)
    path = trainers.nanogpt_file(tmp_path / "out", state)
    trainers.tokenizer(tmp_path / "out")
    start = starts.load(str(path))
    assert (start.step, start.tokens) == (40, 40 * 5 * 4 * trainers.CONTEXT)
    expected = trainers.gpt2_logits(state, trainers.tokens(), tanh=False)
    torch.testing.assert_close(start.model(trainers.tokens()), expected, atol=1e-5, rtol=0)
    weights.save(start.model, start.tokenizer, tmp_path / "trained", record=None)
    torch.testing.assert_close(weights.load(tmp_path / "trained")[0](trainers.tokens()), expected, atol=1e-5, rtol=0)
