"""Which checkpoints in a folder are complete: of our trainer, of transformers', of others, in the middle of a save."""

from __future__ import annotations

import json
import os
import shutil
import time

import pytest
from small_checkpoints import ours, transformers_checkpoint

from evalkit.curves import checkpoints
from evalkit.curves.checkpoints import complete, look, snapshot


def older(path, seconds=100):
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_each_trainers_checkpoints_are_found_in_order_once(tmp_path):
    ours(tmp_path / "step-20", 20)
    ours(tmp_path / "step-3", 3)
    ours(tmp_path, 20)  # the newest one also stands in the folder itself
    transformers_checkpoint(tmp_path / "checkpoint-7", 7)
    (tmp_path / "step-30").mkdir()
    (tmp_path / "eval" / "step-3").mkdir(parents=True)
    found = complete(tmp_path)
    assert [(c.step, c.path.name) for c in found] == [(3, "step-3"), (7, "checkpoint-7"), (20, "step-20")]
    assert dict(found[1].facts) == {"step": 7, "tokens": 700}


def test_a_replaced_model_counts_under_the_step_of_its_record(tmp_path):
    ours(tmp_path, 20)
    [first] = complete(tmp_path)
    ours(tmp_path, 40)
    [second] = complete(tmp_path)
    assert (first.step, second.step) == (20, 40) and first.mark != second.mark


def test_a_save_that_has_replaced_the_weights_alone_is_not_complete(tmp_path):
    ours(tmp_path, 20)
    older(tmp_path / "training.json")  # that of step 20; the weights may be those of step 40
    assert complete(tmp_path) == [] and complete(tmp_path, settled=0.0) == []


def test_a_copy_with_other_times_counts_where_the_folder_names_the_step(tmp_path):
    folder = ours(tmp_path / "step-20", 20)
    older(folder / "training.json")
    assert look(folder) is None and look(folder, settled=0.0).step == 20


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "trainer_state.json"])
def test_a_checkpoint_of_transformers_is_not_complete_before_its_last_byte(tmp_path, name):
    folder = transformers_checkpoint(tmp_path / "checkpoint-7", 7)
    content = (folder / name).read_bytes()
    for size in (0, 1, 8, len(content) // 2, len(content) - 2):
        (folder / name).write_bytes(content[:size])
        for path in folder.iterdir():  # nothing but its content says that it is cut
            older(path)
        assert look(folder) is None, size
    (folder / name).unlink()
    if name != "trainer_state.json":
        assert look(folder) is None
    (folder / name).write_bytes(content)
    os.utime(folder / "trainer_state.json")  # as always, the last
    assert look(folder).step == 7


def test_a_checkpoint_of_an_unknown_trainer_counts_when_it_has_settled(tmp_path):
    folder = transformers_checkpoint(tmp_path / "ckpt_9", 9)
    (folder / "trainer_state.json").unlink()
    assert look(folder) is None
    for path in folder.iterdir():
        older(path)
    assert look(folder).step == 9
    content = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(content[:-1])
    older(folder / "model.safetensors")
    assert look(folder) is None


def test_shards_count_when_all_are_there(tmp_path):
    folder = transformers_checkpoint(tmp_path / "checkpoint-7", 7)
    (folder / "model.safetensors").rename(folder / "model-1-of-2.safetensors")
    index = {"weight_map": {"a": "model-1-of-2.safetensors", "b": "model-2-of-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    os.utime(folder / "trainer_state.json")
    assert look(folder) is None
    shutil.copy(folder / "model-1-of-2.safetensors", folder / "model-2-of-2.safetensors")
    os.utime(folder / "trainer_state.json")
    assert look(folder).step == 7


@pytest.mark.parametrize("record", ["[]", "{}", '{"step": "3"}', '{"step": 4}', "\x00"])
def test_a_record_of_another_form_or_step_is_none(tmp_path, record):
    folder = ours(tmp_path / "step-3", 3)
    (folder / "training.json").write_text(record)
    assert look(folder) is None


def test_a_snapshot_survives_replacing_and_removing(tmp_path):
    folder, place = ours(tmp_path / "training", 20), tmp_path / "place"
    (folder / "state.pt").write_bytes(b"large")
    before = (folder / "model.safetensors").read_bytes()
    checkpoint = look(folder)
    assert snapshot(checkpoint, place) and not (place / "state.pt").exists()
    ours(folder, 40)
    assert (place / "model.safetensors").read_bytes() == before
    assert not snapshot(checkpoint, place)  # it is no longer that one
    checkpoint = look(folder)
    shutil.rmtree(folder)
    assert not snapshot(checkpoint, place)


def test_a_snapshot_is_a_copy_where_files_cannot_be_linked(tmp_path, monkeypatch):
    folder = ours(tmp_path / "training", 20)
    monkeypatch.setattr(checkpoints.Path, "hardlink_to", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    assert snapshot(look(folder), tmp_path / "place")
    assert (tmp_path / "place" / "model.safetensors").stat().st_nlink == 1
