"""Checkpoints of other trainers: their own network's logits, their tokenizers and facts, and clear refusals."""

from __future__ import annotations

import json
import pickle

import pytest
import torch
import transformers

from evalkit.errors import CheckpointError, UnknownTextError, UsageError
from evalkit.model import formats, hub, weights
from evalkit.model.pickled import literals
from evalkit.model.settings import NotNativeError
from evalkit.tokenizer import Tokenizer
from tests.model.formats import trainers
from tests.model.formats.trainers import (
    CONTEXT,
    LITGPT,
    TEXT,
    VOCABULARY,
    gpt2_logits,
    gpt2_state,
    litgpt_folder,
    litgpt_logits,
    litgpt_settings,
    litgpt_state,
    llmc_file,
    meta_file,
    nanogpt_file,
    tokens,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return trainers.tokenizer(tmp_path_factory.mktemp("tokenizer"))


def given(folder):
    return formats.vocabulary_at(folder)


def same(path, expected, tokenizer, tmp_path, *, vocabulary=VOCABULARY):
    """Our logits, those of the exported folder by transformers and by us are the network's own."""
    ids = tokens(vocabulary=vocabulary)
    logits = expected(ids)
    assert float(logits.std()) > 0.5
    ours, _ = weights.load(path, vocabulary=given(tokenizer))
    assert formats.open(path).config.parameters == sum(p.numel() for p in ours.parameters())
    torch.testing.assert_close(ours(ids), logits, atol=1e-5, rtol=0)
    try:
        weights.export(path, tmp_path / "exported", vocabulary=given(tokenizer))
    except UsageError as error:
        assert "no layout of transformers holds this GPT" in str(error)
        return str(error)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "exported", dtype=torch.float32).eval()
    with torch.no_grad():
        torch.testing.assert_close(theirs(ids).logits, logits, atol=2e-5, rtol=0)
    again, _ = weights.load(tmp_path / "exported")
    torch.testing.assert_close(again(ids), logits, atol=1e-5, rtol=0)
    return ""


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("prefix", ["", "_orig_mod.", "module._orig_mod."])
def test_nanogpt(bias, prefix, tokenizer, tmp_path):
    state = gpt2_state(bias=bias)
    path = nanogpt_file(tmp_path / "out", state, prefix=prefix)
    assert formats.find(path).name == "nanogpt"
    assert not same(path, lambda ids: gpt2_logits(state, ids, tanh=False), tokenizer, tmp_path)


def test_nanogpt_with_masks_another_output_and_without_the_setting_of_biases(tokenizer, tmp_path):
    state = gpt2_state()
    path = nanogpt_file(tmp_path / "out", state)
    stored = torch.load(path)
    stored["model"] |= {f"transformer.h.{i}.attn.bias": torch.ones(1, 1, CONTEXT, CONTEXT) for i in range(2)}
    stored["model"]["lm_head.weight"] = stored["model"]["lm_head.weight"].clone()
    del stored["model_args"]["bias"]
    torch.save(stored, path)
    same(path, lambda ids: gpt2_logits(state, ids, tanh=False), tokenizer, tmp_path)
    stored["model"]["lm_head.weight"] = torch.ones(VOCABULARY, trainers.WIDTH)
    torch.save(stored, path)
    model, _ = weights.load(path, vocabulary=given(tokenizer))
    assert model.config.untied and torch.equal(model.output.weight, torch.ones(VOCABULARY, trainers.WIDTH))


def test_nanogpt_tells_its_training(tmp_path):
    path = nanogpt_file(tmp_path / "out", gpt2_state())
    checkpoint = formats.open(path)
    tokens_read = 40 * 5 * 4 * CONTEXT
    assert checkpoint.training == {
        "step": 40, "tokens": tokens_read, "flops": tokens_read * checkpoint.config.flops_per_token, "corpus": "chars",
        "loss": 1.5,
    }  # fmt: skip


@pytest.mark.parametrize("loss", [torch.tensor(1j), torch.tensor(float("nan")), torch.ones(2), "low", None])
def test_a_loss_that_is_none_is_left_out(loss, tmp_path):
    path = edited(tmp_path, lambda stored: stored.update(best_val_loss=loss))
    assert "loss" not in formats.open(path).training


def test_nanogpt_s_characters_are_those_of_meta_pkl(tmp_path, monkeypatch):
    """Beside the file, and where nanoGPT keeps the data set; read without running the pickle."""
    places = ["out/meta.pkl", "data/chars/meta.pkl", "elsewhere/data/chars/meta.pkl"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for place in places:
        characters = meta_file(tmp_path / place)
        path = nanogpt_file(tmp_path / "out", gpt2_state(vocabulary=len(characters)), vocabulary=len(characters))
        _, tokenizer = weights.load(path)
        assert tokenizer.encode(TEXT) == [characters.index(c) for c in TEXT]
        assert tokenizer.decode(tokenizer.encode(TEXT)) == TEXT
        assert tokenizer.end_of_text == characters.index("\n")
        with pytest.raises(UnknownTextError, match=r"meta\.pkl has no token for '4'"):
            tokenizer.encode("42")
        (tmp_path / place).unlink()
    with pytest.raises(
        CheckpointError, match=r"no tokenizer for its 21 tokens \(there is no .*meta\.pkl.*--tokenizer PATH"
    ):
        weights.load(path)


def test_characters_survive_an_export(tmp_path):
    characters = meta_file(tmp_path / "out" / "meta.pkl")
    path = nanogpt_file(tmp_path / "out", gpt2_state(vocabulary=len(characters)), vocabulary=len(characters))
    weights.export(path, tmp_path / "folder")
    ours, theirs = Tokenizer.load(tmp_path / "folder"), transformers.AutoTokenizer.from_pretrained(tmp_path / "folder")
    assert ours.encode(TEXT) == theirs(TEXT)["input_ids"] == [characters.index(c) for c in TEXT]
    assert ours.decode(ours.encode(TEXT)) == TEXT and ours.end_of_text == characters.index("\n")


class Harmful:
    """Runs code when it is unpickled."""

    def __reduce__(self):
        return print, ("ran",)


META = {
    "code": ({"stoi": {"a": 0}, "itos": Harmful()}, "refused: .*could run code"),
    "words": ({"stoi": {"ab": 0, "c": 1}}, "stoi has 'ab'; only vocabularies of single characters"),
    "gaps": ({"stoi": {"a": 0, "c": 2}}, "stoi must map each character to its number"),
    "no table": ({"itos": {0: "a"}}, "stoi must map"),
    "a list": ([1], "expected a pickled table, found list"),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", META)
def test_a_wrong_meta_pkl_is_refused(kind, protocol, tmp_path, capsys):
    path = nanogpt_file(tmp_path / "out", gpt2_state(vocabulary=2), vocabulary=2)
    (tmp_path / "out" / "meta.pkl").write_bytes(pickle.dumps(META[kind][0], protocol=protocol))
    with pytest.raises(CheckpointError, match=META[kind][1]) as caught:
        weights.load(path)
    assert "meta.pkl" in str(caught.value) and "ran" not in capsys.readouterr().out


@pytest.mark.parametrize("protocol", range(6))
def test_every_pickle_of_plain_values_is_read(protocol, tmp_path):
    value = {
        "a": [1, -1, 2**40, 2**70, True, None, 0.5, "é\n"],
        "b": {1: ("x", "a", ()), (2, 3): {}},
        "c": [[]],
        "d": {},
    }
    (tmp_path / "file").write_bytes(pickle.dumps(value, protocol=protocol))
    assert literals(tmp_path / "file") == value


def test_gpt2_s_tokenizer_comes_from_beside_the_file_the_hub_or_the_user(tokenizer, tmp_path, monkeypatch):
    state = gpt2_state(vocabulary=50304)
    path = nanogpt_file(tmp_path / "out", state, vocabulary=50304)
    monkeypatch.setattr(hub, "tokenizer_folder", lambda repository: None)
    with pytest.raises(
        CheckpointError, match=r"GPT-2's is neither in the hub's cache nor can it be fetched.*--tokenizer"
    ):
        weights.load(path)
    monkeypatch.setattr(hub, "tokenizer_folder", lambda repository: tokenizer)
    expected = Tokenizer.load(tokenizer).encode(TEXT)
    assert weights.load(path)[1].encode(TEXT) == expected
    monkeypatch.setattr(hub, "tokenizer_folder", lambda repository: None)
    (tmp_path / "out" / "tokenizer.json").write_bytes((tokenizer / "tokenizer.json").read_bytes())
    assert weights.load(path)[1].encode(TEXT) == expected


def test_the_content_hash_is_of_weights_and_tokenizer(tokenizer, tmp_path):
    path = nanogpt_file(tmp_path / "out", gpt2_state())
    hashes = {formats.open(path, vocabulary=given(tokenizer)).content_hash}
    Tokenizer.train(["another"], vocab_size=260).save(tmp_path / "out", context=8)
    hashes.add(formats.open(path).content_hash)
    nanogpt_file(tmp_path / "out", gpt2_state(bias=False))
    hashes.add(formats.open(path).content_hash)
    assert len(hashes) == 3


@pytest.mark.parametrize(("version", "tolerance"), [(3, 1e-5), (5, 1e-5)])
def test_llmc(version, tolerance, tokenizer, tmp_path):
    state = gpt2_state(padded=384)
    if version == 5:
        state = {name: tensor.bfloat16().float() for name, tensor in state.items()}
    path = llmc_file(tmp_path / "model_00001500.bin", state, version=version)
    assert formats.find(path).name == "llm.c" and formats.open(path).training == {"step": 1500}
    assert not same(path, lambda ids: gpt2_logits(state, ids, tanh=True), tokenizer, tmp_path)


@pytest.mark.parametrize("kind", LITGPT)
@pytest.mark.parametrize("how", ["pre-training", "weights alone", "of before 2025"])
def test_litgpt(kind, how, tokenizer, tmp_path):
    settings = litgpt_settings(kind)
    state = litgpt_state(settings)
    folder = litgpt_folder(
        tmp_path / "lit", settings, state, full=how == "pre-training", grouped=how == "of before 2025"
    )
    assert formats.find(folder).name == formats.find(folder / "lit_model.pth").name == "litgpt"
    error = same(folder, lambda ids: litgpt_logits(settings, state, ids), tokenizer, tmp_path)
    # What transformers has no layout for: another scale of queries and keys, norms around branches.
    assert bool(error) == (kind in ("qwen3", "window")), error
    facts = formats.open(folder).training
    assert (facts["step"], facts["tokens"]) == (20, 20 * 64 * CONTEXT) if how == "pre-training" else not facts


def test_litgpt_s_end_tokens_are_kept(tokenizer, tmp_path):
    settings = litgpt_settings("llama")
    folder = litgpt_folder(tmp_path / "lit", settings, litgpt_state(settings))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [7, 9]}))
    weights.export(folder, tmp_path / "exported", vocabulary=given(tokenizer))
    end = Tokenizer.load(tokenizer).end_of_text
    assert (formats.open(folder).ends, formats.open(tmp_path / "exported").ends) == ([7, 9], [end, 7, 9])


def test_litgpt_keeps_a_tied_matrix_tied(tokenizer, tmp_path):
    settings = litgpt_settings("llama")
    state = litgpt_state(settings)
    state["lm_head.weight"] = state["transformer.wte.weight"]
    folder = litgpt_folder(tmp_path / "lit", settings, state)
    assert not formats.open(folder).config.untied
    same(folder, lambda ids: litgpt_logits(settings, state, ids), tokenizer, tmp_path)


REFUSED = {
    "experts": ({"n_expert": 4, "mlp_class_name": "LLaMAMoE"}, "n_expert 4: our GPT has no such switch"),
    "latent attention": ({"latent_attention": {"q_lora_rank": 3}}, "latent_attention .*no such switch"),
    "bias of the output": ({"lm_head_bias": True}, "lm_head_bias true"),
    "capped attention": ({"attention_logit_softcapping": 30.0}, "attention_logit_softcapping 30.0"),
    "interleaved": ({"rope_interleave": True}, "rope_interleave true"),
    "Gemma": ({"name": "Gemma-2b", "norm_class_name": "RMSNorm"}, 'name "Gemma-2b": its norms are not plain'),
    "YaRN": ({"rope_adjustments": {"factor": 2, "beta_fast": 1}}, "rope_adjustments .*Llama 3's four"),
    "newer than we know": ({"some_switch": 3}, "some_switch 3: our GPT has no such switch"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_litgpt_has_and_our_network_has_not_is_named(name, tokenizer, tmp_path):
    settings = litgpt_settings("pythia")
    folder = litgpt_folder(tmp_path / "lit", settings | REFUSED[name][0], litgpt_state(settings))
    with pytest.raises(NotNativeError, match=REFUSED[name][1]) as caught:
        weights.load(folder, vocabulary=given(tokenizer))
    assert "model_config.yaml" in str(caught.value)


def nanogpt(folder, **args):
    return nanogpt_file(folder, gpt2_state(), **args)


def edited(folder, change):
    path = nanogpt(folder)
    stored = torch.load(path)
    change(stored)
    torch.save(stored, path)
    return path


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])
    return path


def with_code(folder):
    return edited(folder, lambda stored: stored.update(extra=Harmful()))


BROKEN = {
    "code": (with_code, r"ckpt\.pt is refused: .*could run code"),
    "cut": (lambda f: cut(nanogpt(f), 5000), r"ckpt\.pt: not a checkpoint, or a damaged one; evalkit reads .*nanoGPT"),
    "missing": (lambda f: edited(f, lambda s: s["model"].pop("transformer.wpe.weight")), "wpe.weight' is missing"),
    "unexpected": (lambda f: edited(f, lambda s: s["model"].update(x=torch.ones(2))), "unexpected tensor 'x'"),
    "wrong shape": (
        lambda f: edited(f, lambda s: s["model"].update({"transformer.ln_f.bias": torch.ones(7)})),
        r"ln_f\.bias' has shape \(7,\)",
    ),
    "twice": (
        lambda f: edited(f, lambda s: s["model"].update({"module.transformer.ln_f.bias": torch.ones(48)})),
        r"'transformer\.ln_f\.bias' is there twice",
    ),
    "no tensor": (lambda f: edited(f, lambda s: s["model"].update(x=3)), "mapping from names to tensors in model"),
    "no table": (lambda f: edited(f, lambda s: s.update(model_args=[*s["model_args"]])), "model_args is missing or no"),
    "sparse": (
        lambda f: edited(f, lambda s: s["model"].update({"lm_head.weight": torch.eye(3).to_sparse()})),
        "mapping from names to tensors in model",
    ),
    "text": (lambda f: nanogpt(f, n_head="many"), r'model_args\.n_head is "many"; it must be a whole number'),
    "tensor": (lambda f: nanogpt(f, n_head=torch.ones(2)), r"model_args\.n_head is .*it must be a whole number"),
    "odd heads": (lambda f: nanogpt(f, n_head=5), "not a multiple of n_head 5"),
    "changed network": (lambda f: nanogpt(f, use_rmsnorm=True), r"model_args\.use_rmsnorm true: nanoGPT itself has no"),
    "llm.c cut": (lambda f: cut(llmc_file(f / "m.bin", gpt2_state()), 9000), r"9,000 bytes, the header says .*cut"),
    "llm.c header cut": (lambda f: cut(llmc_file(f / "m.bin", gpt2_state()), 20), "the header is cut"),
    "llm.c version": (lambda f: llmc_file(f / "m.bin", gpt2_state(), version=4), "version 4; versions 3 .* and 5"),
    "llm.c Llama": (lambda f: llmc_file(f / "m.bin", gpt2_state(), magic=20240803), "llm.c's files of Llama 3"),
    "llm.c rows": (lambda f: llmc_file(f / "m.bin", gpt2_state(), vocabulary=400), "300 rows of the token embedding"),
    "foreign": (lambda f: (f / "a.bin").write_bytes(b"1234") and f / "a.bin", "not a checkpoint, or a damaged one"),
    "nothing": (lambda f: f / "absent.pt", r"absent\.pt: no such file or folder"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_wrong_file_is_one_clear_error_before_anything_is_loaded(name, tokenizer, tmp_path, capsys):
    path = BROKEN[name][0](tmp_path)
    with pytest.raises(CheckpointError, match=BROKEN[name][1]) as caught:
        weights.load(path, vocabulary=given(tokenizer))
    assert str(path) in str(caught.value) and "ran" not in capsys.readouterr().out


YAML = {
    "an alias": ("a: &x [1]\nb: *x\n", "aliases and deep nesting are refused"),
    "deep": ("a: " + "[" * 100_000, "aliases and deep nesting are refused"),
    "a tag": ("!!python/object/apply:os.system [ls]", "not valid YAML"),
    "a list": ("- 1\n", "expected keys and values, found list"),
    "no YAML": ("a: [", "not valid YAML"),
}


@pytest.mark.parametrize("name", YAML)
def test_a_wrong_model_config_is_refused(name, tokenizer, tmp_path):
    settings = litgpt_settings("pythia")
    folder = litgpt_folder(tmp_path / "lit", settings, litgpt_state(settings))
    (folder / "model_config.yaml").write_text(YAML[name][0])
    with pytest.raises(CheckpointError, match=YAML[name][1]):
        weights.load(folder, vocabulary=given(tokenizer))
