"""Runs that are killed, interrupted, starved or disturbed: what was finished is kept, the end is the same.

EVALKIT_KILLS says how many runs are killed at random moments (default 5 of each kind).
"""

from __future__ import annotations

import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time
from functools import lru_cache
from pathlib import Path

import pytest
import rouge_score.rouge_scorer  # noqa: F401  (and the next two: what a run imports, before it is forked)
import scipy.stats  # noqa: F401
import torch

import evalkit.engine.hf  # noqa: F401
from evalkit import world
from evalkit.cli import main
from evalkit.data import sources
from evalkit.data.sources import DataPaths
from evalkit.engine import open
from evalkit.harness import catalog
from evalkit.harness import run as run_module
from evalkit.harness.load import load
from evalkit.harness.settings import RunSettings
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.runs.store import read_records
from evalkit.tokenizer import Tokenizer

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("EVALKIT_KILLS", "5"))
TASKS = "world_qa,world_pronouns,world_lastword,world_lm"
DOCUMENTS = 10


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer.train(["Q: Who has the red box?\nA: Anna and the dog = le chien " * 3], vocab_size=290)
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=256, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=None)
    weights.load(folder)  # which imports much of torch, here and not in every copy of this process
    return folder


@pytest.fixture(scope="module", autouse=True)
def small_units():
    """Much happens in little time: many small units of work, and items of the world that are made once for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_module, "UNIT_TOKENS", 200)
        patch.setattr(sources, "_world_items", lru_cache(maxsize=None)(world.items))
        for task in catalog.select(TASKS.split(",")):
            load(task, RunSettings(shots=(2,)), DataPaths())
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Every run happens in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return tmp_path


def words(checkpoint, out, *more):
    return ["run", "--model", str(checkpoint), "--tasks", TASKS, "--limit", str(DOCUMENTS), "--shots", "0,2",
            "--out", str(out), *more]  # fmt: skip


def forked(arguments, *, said="said.txt", before=lambda: None):
    """Start the command in a copy of this process, which has imported everything; return its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        sys.stdout = sys.stderr = Path(said).open("w", buffering=1)  # noqa: SIM115
        torch.set_num_threads(1)
        before()
        code = main(arguments)
    finally:
        os._exit(code)


def begun(out):
    """Whether a run has kept some batches."""
    return (out / "records.jsonl").exists() and (out / "records.jsonl").stat().st_size >= 5000


def waiting(out):
    """Let a run that has begun wait, once, so that a signal comes before its end.

    SIGINT is heard even where the tests were started in the background, which a shell lets ignore it.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    keep = run_module.Work._keep

    def patched(work, batch):
        keep(work, batch)
        if begun(out):
            run_module.Work._keep = keep
            time.sleep(30)

    run_module.Work._keep = patched


def ended(child):
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def the_same_end(folder, whole):
    assert (folder / "results.json").read_bytes() == (whole / "results.json").read_bytes()
    keys = [record.key for record in read_records(folder)]
    assert len(set(keys)) == len(keys) == len(list(read_records(whole)))


@pytest.fixture(scope="module")
def whole(checkpoint, small_units, tmp_path_factory):
    """Unbroken runs, without a cache and with a new one: what is asked twice is then computed once."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("off", "cache"):
            patch.setenv("EVALKIT_CACHE", name if name == "off" else str(folder / "responses"))
            assert ended(forked(words(checkpoint, folder / name), said=folder / "said.txt")) == 0
    return {name: folder / name for name in ("off", "cache")}


def killed(child, journal, moment):
    """Kill a run when its journal has `moment` bytes; before it has any, after so many hundredths of a second."""
    if moment < 0:
        time.sleep(-moment / 100)
    while (journal.stat().st_size if journal.exists() else 0) < moment:
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    return ended(child) == -signal.SIGKILL


def moments(rng, whole):
    """Draw random moments: before the first record, among them, and while the results are written."""
    size = (whole / "records.jsonl").stat().st_size
    return [rng.choice([rng.uniform(-100, 0), *(rng.uniform(1, size) for _ in range(4))]) for _ in range(KILLS)]


@pytest.mark.parametrize("cache", ["off", "cache"])
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(checkpoint, elsewhere, whole, cache, monkeypatch, capsys):
    stopped, kept = 0, []
    for number, moment in enumerate(moments(random.Random(cache), whole[cache])):
        monkeypatch.setenv("EVALKIT_CACHE", cache if cache == "off" else str(elsewhere / f"cache{number}"))
        out = elsewhere / f"run{number}"
        stopped += killed(forked(words(checkpoint, out)), out / "records.jsonl", moment)
        kept.append((out / "records.jsonl").read_bytes().count(b"\n") if (out / "records.jsonl").exists() else 0)
        assert ended(forked(words(checkpoint, out, "--resume"))) == 0
        the_same_end(out, whole[cache])
    total = len(list(read_records(whole[cache])))
    with capsys.disabled():
        print(f" [{stopped} of {KILLS} runs killed, with {', '.join(map(str, sorted(kept)))} of {total} items]", end="")


def test_two_processes_share_a_cache_and_are_killed(checkpoint, elsewhere, whole, monkeypatch, capsys):
    stopped = 0
    for number, moment in enumerate(moments(random.Random(2), whole["cache"])):
        if number % 5 == 0:  # the others meet a cache that holds all
            monkeypatch.setenv("EVALKIT_CACHE", str(elsewhere / f"cache{number}"))
        folders = [elsewhere / f"{number}{name}" for name in "ab"]
        children = [forked(words(checkpoint, folder)) for folder in folders]
        stopped += killed(children[0], folders[0] / "records.jsonl", moment)
        children[0] = forked(words(checkpoint, folders[0]))
        assert [ended(child) for child in children] == [0, 0]
        for folder in folders:
            the_same_end(folder, whole["cache"])
    with capsys.disabled():
        print(f" [{stopped} of {KILLS} killed beside a second process]", end="")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_run_says_how_to_go_on(checkpoint, elsewhere, whole, number, code):
    out = elsewhere / "out"
    child = forked(words(checkpoint, out), before=lambda: waiting(out))
    while not begun(out):
        assert os.waitpid(child, os.WNOHANG) == (0, 0), (elsewhere / "said.txt").read_text()
        time.sleep(0.01)
    os.kill(child, number)
    assert ended(child) == code
    kept = len(list(read_records(out)))
    said = (elsewhere / "said.txt").read_text()
    told = re.search(f"warning: ([0-9]+) finished items are kept in {out}", said)
    assert told and 0 < int(told[1]) <= kept < len(list(read_records(whole["off"]))) and "Traceback" not in said
    command = words(checkpoint, out, "--resume")
    assert said.strip().endswith(
        f"evalkit: warning: interrupted; continue with: EVALKIT_CACHE=off evalkit {shlex.join(command)}"
    )
    assert ended(forked(command)) == 0
    the_same_end(out, whole["off"])


def test_a_long_step_outside_python_is_ended_too(elsewhere):
    """Python runs no signal handler before the step is over, which here takes minutes."""
    code = (
        "import hashlib, sys\nfrom evalkit import cli\n"
        "def long(arguments):\n"
        "    print('ready', flush=True)\n    hashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)\n"
        "cli.run.run = long\nsys.exit(cli.main(['run', '--model', 'a model']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=-1, stderr=-1, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.5)  # until the long step has begun
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=100)
    assert process.returncode == 143
    assert said == "evalkit: interrupted; continue with: EVALKIT_CACHE=off evalkit run --model 'a model' --resume\n"


@pytest.fixture(params=["limit", "28k", "64k"])
def small_disk(request, elsewhere):
    """A folder in which little can be written, what makes it so in a process, and how to make it larger.

    The records do not fit a file's limit of 30,000 bytes nor a disk of 28k; into 64k they do, but not the results.
    """
    folder = elsewhere / "disk"
    folder.mkdir()
    if request.param == "limit":
        yield folder, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, -1)), lambda: None
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no tmpfs can be mounted here")
    yield folder, lambda: None, lambda: subprocess.run(["mount", "-o", "remount,size=9m", str(folder)], check=True)
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_ends_a_run_with_one_message_and_it_goes_on(checkpoint, small_disk, whole, elsewhere):
    folder, before, enlarge = small_disk
    out = folder / "out"
    assert ended(forked(words(checkpoint, out), before=before)) == 3
    said = (elsewhere / "said.txt").read_text()
    assert said.count("error: ") == said.count(f"error: cannot write {out}/re") == 1 and "Traceback" not in said
    assert len(list(read_records(out))) > 5
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "records.jsonl"]
    enlarge()
    assert ended(forked(words(checkpoint, out))) == 0
    the_same_end(out, whole["off"])


def test_a_changed_weight_misses_the_cache(checkpoint, elsewhere, monkeypatch):
    monkeypatch.setenv("EVALKIT_CACHE", str(elsewhere / "cache"))
    loaded = []
    load = open.load_engine
    monkeypatch.setattr(open, "load_engine", lambda *words, **more: loaded.append(words) or load(*words, **more))
    other = elsewhere / "other" / "tiny"
    model, tokenizer = weights.load(checkpoint)
    model.blocks[0].up.weight[3, 3] += 0.5
    weights.save(model, tokenizer, other, record=None)
    command = ["run", "--tasks", "world_pronouns,world_lm", "--limit", "5"]
    starts = {"first": [checkpoint], "again": [checkpoint], "changed": [other], "plain": [other, "--no-cache"]}
    times = {}
    for out, (model, *more) in starts.items():
        assert main([*command, "--model", str(model), "--out", out, *more]) == 0
        times[out] = len(loaded)
    assert times == {"first": 1, "again": 1, "changed": 2, "plain": 3}  # what is cached needs no model
    results = {name: (elsewhere / name / "results.json").read_bytes() for name in starts}
    assert results["again"] == results["first"] != results["changed"] == results["plain"]
