"""Workers on Ray: the same bytes from any number of them, whatever dies.

EVALKIT_KILLS says how many times the last test kills a worker or the driver at a random moment (default 5).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import torch

import evalkit
from evalkit.cli import main
from evalkit.engine.calls import Asking, Call, Requests, ask_in_turn
from evalkit.engine.cluster import Crew
from evalkit.engine.fake import FakeEngine
from evalkit.engine.placing import placing
from evalkit.engine.worker import Report
from evalkit.errors import CheckpointError, ClusterError, StoreError
from evalkit.harness import run as run_module
from evalkit.model import weights
from evalkit.model.config import GPTConfig
from evalkit.model.gpt import GPT
from evalkit.runs.store import read_records
from evalkit.tokenizer import Tokenizer
from evalkit.types import Request, Response
from tests.lm_eval.made import write

KILLS = int(os.environ.get("EVALKIT_KILLS", "5"))
TASKS = "world_qa,world_pronouns,world_lastword,world_lm"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tokenizer = Tokenizer.train(["Q: Who has the red box?\nA: Anna and the dog = le chien " * 3], vocab_size=290)
    model = GPT(GPTConfig(n_layer=1, d_model=16, n_head=2, context=256, vocab_size=tokenizer.size))
    model.initialize(torch.Generator().manual_seed(0))
    weights.save(model, tokenizer, folder, record=None)
    return folder


@pytest.fixture(scope="module")
def cluster():
    """One cluster on this machine for all tests: to start it takes seconds."""
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")
    with placing(workers=3) as place:
        yield place


@pytest.fixture(autouse=True)
def small_units(tmp_path, monkeypatch):
    monkeypatch.setattr(run_module, "UNIT_TOKENS", 400)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_DATA", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def tasks():
    return evalkit.load_tasks(TASKS, shots=[0, 2], limit=10)


def results(run):
    return (run.folder / "results.json").read_bytes()


@pytest.mark.parametrize("cache", ["off", "new"])
def test_the_same_bytes_from_any_number_of_workers(cluster, checkpoint, tasks, small_units, cache, monkeypatch):
    written = []
    for number, options in enumerate([{"threads": 1}, {"workers": 1}, {"workers": 2}, {"workers": 3}]):
        monkeypatch.setenv("EVALKIT_CACHE", "off" if cache == "off" else str(small_units / f"cache{number}"))
        written.append(results(evalkit.evaluate(checkpoint, tasks, out=f"run{number}", **options)))
    assert len(set(written)) == 1
    assert b'"threads": "1"' in written[0] and b"|compute:" in written[0]


def test_a_run_goes_on_with_another_number_of_workers(cluster, checkpoint, tasks):
    whole = evalkit.evaluate(checkpoint, tasks, out="whole", threads=1)
    evalkit.evaluate(checkpoint, tasks, out="begun", workers=2)
    lines = Path("begun/records.jsonl").read_bytes().splitlines(keepends=True)
    for number, options in enumerate([{"workers": 3}, {"threads": 1}]):
        Path("begun/records.jsonl").write_bytes(b"".join(lines[number::3]) + b'{"torn')
        Path("begun/results.json").unlink()
        assert results(evalkit.evaluate(checkpoint, tasks, out="begun", **options)) == results(whole)
    with pytest.raises(StoreError, match=r"compute\.threads"):
        evalkit.evaluate(checkpoint, tasks, out="begun", threads=2)


def test_a_relative_path_is_that_of_the_command(cluster, checkpoint, small_units):
    shutil.copytree(checkpoint, "here")
    few = evalkit.load_tasks("world_pronouns", limit=4)
    assert results(evalkit.evaluate("here", few, out="run", workers=1))


def test_a_live_module_is_sent_to_the_workers(cluster, tasks):
    class Bigrams(torch.nn.Module):
        """A class of a notebook: no worker could import it."""

        context_length = 256

        def __init__(self, size):
            super().__init__()
            self.table = torch.nn.Embedding(size, size)

        def forward(self, tokens):
            return self.table(tokens)

    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["Who has the red box?"], vocab_size=270)
    model = evalkit.open_model(Bigrams(tokenizer.size), tokenizer=tokenizer)
    few = evalkit.load_tasks("world_pronouns,world_lastword", limit=10)
    here = evalkit.evaluate(model, few, out="here", threads=1)
    assert results(evalkit.evaluate(model, few, out="there", workers=2)) == results(here)


def engine_of(answer):
    """A registered model whose engine is made in each worker, from a function sent to it."""

    def make(text, *, dtype, device, batch_tokens):
        return FakeEngine("made-up", answer)

    name = f"made-up-{random.random()}".replace(".", "")
    evalkit.register_engine(name, make)
    return f"{name}:x"


def engines_of(name):
    """Made-up engines that refuse to be loaded while another is in the same process."""

    def make(text, *, dtype, device, batch_tokens):
        import builtins
        import weakref

        loaded = builtins.__dict__.setdefault("loaded_engines", weakref.WeakSet())
        if len(loaded):
            raise CheckpointError(f"{text} is loaded while another engine is")
        number = int(text[1:])

        def answer(request):
            time.sleep(0.002)
            return Response(loglikelihood=-1.0 - (len(request.continuation) * number) % 7, tokens=1, text=text)

        engine = FakeEngine(text, answer)
        loaded.add(engine)
        return engine

    evalkit.register_engine(name, make)


@pytest.mark.parametrize("workers", [[], ["--workers", "1"], ["--workers", "3"]])
def test_models_tasks_shots_and_seeds_are_one_queue(cluster, workers, small_units, capsys, caplog):
    engines_of("queued")
    names = [f"queued:m{number}" for number in range(4)]
    command = ["run", "--tasks", "world_qa,world_pronouns", "--shots", "0,2", "--seeds", "1,2", "--limit", "8",
               "--no-cache", "--threads", "1"]  # fmt: skip
    with caplog.at_level("INFO"):
        assert main([*command, "--model", ",".join(names), "--out", "all", "--markdown", "all.md", *workers]) == 0
    assert "stored in all/queued-m0, all/queued-m1, all/queued-m2, all/queued-m3" in capsys.readouterr().out
    assert "continuing without a worker" not in caplog.text
    if workers == ["--workers", "3"]:
        assert "3 workers: " in caplog.text  # the progress
    for name in names[::3]:
        assert main([*command, "--model", name, "--out", "alone"]) == 0
        alone = Path("alone/results.json").read_bytes()
        assert alone == (Path("all") / name.replace(":", "-") / "results.json").read_bytes()
        shutil.rmtree("alone")


def test_a_worker_goes_on_to_the_next_model_while_another_still_answers(cluster):
    """The first model has one unit that takes long; the second has all the others computed meanwhile."""

    def answer(request):
        if request.task == "slow":
            time.sleep(3)
        return Response(loglikelihood=-1.0, tokens=1, text="no")

    ended = []
    with placing(workers=2) as place:
        places = [place(partial(FakeEngine, name, answer), device="cpu") for name in "ab"]

        def calls(task, number):
            for _ in range(number):
                yield Call.of(Requests([Request(kind="generate_until", task=task, doc_id="1", context_ids=(1,))]))

        askings = [Asking(places[0], calls("slow", 1)), Asking(places[1], calls("fast", 20))]
        for asking, answered in ask_in_turn(askings):
            if answered is None:
                ended.append(askings.index(asking))
    assert ended == [1, 0]


def test_a_model_that_cannot_be_loaded_leaves_the_others(cluster, checkpoint, capsys):
    def make(text, **options):
        raise CheckpointError(f"no weights on {text}")

    evalkit.register_engine("absent", make)
    command = [
        "run",
        "--model",
        f"{checkpoint},absent:disk,{checkpoint}-2",
        "--tasks",
        "world_pronouns",
        "--limit",
        "4",
    ]
    shutil.copytree(checkpoint, f"{checkpoint}-2", dirs_exist_ok=True)
    assert main([*command, "--workers", "2", "--out", "out"]) == 1
    told = capsys.readouterr()
    assert "failed: absent:disk" in told.out and "no weights on disk" in told.err
    assert Path("out/tiny/results.json").exists() and Path("out/tiny-2/results.json").exists()


def test_the_code_of_a_task_file_goes_to_the_workers(cluster, small_units):
    (small_units / "code.py").write_text("def scores(doc, results):\n    return {'first': float(doc['word'] < 'rb')}\n")
    more = "process_results: !function code.scores\nmetric_list: [{metric: first}]\n"
    file = str(write(small_units, "own.yaml", more=more))
    model = engine_of(lambda _: Response(loglikelihood=-1.0, tokens=1))
    runs = [evalkit.evaluate(model, file, trust_task_code=True, out=f"run{n}", workers=n) for n in (1, None)]
    assert [[(r.metric, r.value) for r in run.results] for run in runs] == [[("first", 0.5)]] * 2


def test_a_poisoned_unit_fails_its_items_alone(cluster, tasks):
    def answer(request):
        if request.task == "world_qa" and request.doc_id == poison:
            os.kill(os.getpid(), 9)
        return Response(loglikelihood=-1.0, tokens=1, text="no")

    few = evalkit.load_tasks("world_qa,world_pronouns", limit=20)
    poison = few.loaded[0].documents[3][0].id
    written = set()
    for number in (1, 2):
        run = evalkit.evaluate(engine_of(answer), few, out=f"run{number}", workers=number, max_failed=1)
        failed = [record for record in read_records(run.folder) if record.error]
        assert poison in {record.doc_id for record in failed} and len(failed) < 20
        assert {record.cell.task for record in failed} == {"world_qa"}
        assert {record.error for record in failed} == {"the worker that computed it died, 3 times"}
        written.add(re.sub(rb"made-up-[0-9e]+", b"", results(run)))
    assert len(written) == 1


def test_a_worker_that_dies_for_its_memory_goes_on_with_smaller_batches(cluster, monkeypatch, caplog):
    class Hungry(FakeEngine):
        batch = 64

        def halve_batches(self):
            self.batch //= 2
            return True

        def _respond(self, requests):
            if self.batch > 4:
                os.kill(os.getpid(), 9)
            return super()._respond(requests)

    name = f"hungry-{random.random()}".replace(".", "")
    answer = Response(loglikelihood=-1.0, tokens=1)
    evalkit.register_engine(name, lambda text, **options: Hungry("hungry", lambda _: answer))
    monkeypatch.setattr("evalkit.engine.cluster.killed_for_memory", lambda process: bool(process))
    run = evalkit.evaluate(f"{name}:x", "world_pronouns", limit=5, out="run", workers=1)
    assert not run.failed and not any(record.error for record in read_records(run.folder))
    assert "a worker: memory ran out and ended a worker: continuing with batches 16 times smaller" in caplog.messages


def test_what_is_known_of_a_death():
    now = Report({}, "a gpu 0", "new", kills=3)
    assert Report({}, "a gpu 0", "old", kills=2).lost_to_kernel(now)
    assert not Report({}, "a gpu 0", "old", kills=3).lost_to_kernel(now)
    assert not Report({}, "b gpu 0", "old", kills=2).lost_to_kernel(now)  # started again on another machine


def test_an_error_of_the_engine_is_its_tasks_and_the_others_go_on(cluster):
    def answer(request):
        if request.task == "world_qa":
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried")
        return Response(loglikelihood=-1.0, tokens=1, text="no")

    run = evalkit.evaluate(engine_of(answer), "world_qa,world_pronouns", limit=20, out="run", workers=2)
    assert run.failed.keys() == {"world_qa"} and "world_qa: out of memory" in run.failed["world_qa"]
    assert {result.task for result in run.results} == {"world_pronouns"}


def test_what_a_worker_warns_of_is_said_here(cluster, caplog):
    def answer(request):
        import logging

        logging.getLogger("evalkit.engine.budget").warning("out of memory: continuing with %d", 7)
        return Response(loglikelihood=-1.0, tokens=1, text="no")

    evalkit.evaluate(engine_of(answer), "world_pronouns", limit=5, out="run", workers=1)
    assert caplog.messages.count("a worker: out of memory: continuing with 7") in (1, 2)  # once per unit


def test_a_model_that_no_worker_can_load_is_one_line(cluster):
    def make(text, **options):
        raise CheckpointError(f"no weights on {text}")

    evalkit.register_engine("nowhere", make)
    with pytest.raises(CheckpointError, match="no weights on disk"):
        evalkit.evaluate("nowhere:disk", "world_pronouns", out="run", workers=2)


def test_a_checkpoint_that_no_worker_can_load_is_one_line(cluster, checkpoint, tasks, monkeypatch):
    model = evalkit.open_model(str(checkpoint))
    monkeypatch.setattr(
        "evalkit.engine.workers.Workers.expect", lambda self, _: setattr(self, "expected", {"model": "m"})
    )
    with pytest.raises(CheckpointError, match="the files of m have changed since the run began"):
        evalkit.evaluate(model, tasks, out="run", workers=2)


def test_wrong_options_are_named(checkpoint, capsys, monkeypatch):
    command = ["run", "--model", str(checkpoint), "--tasks", "world_qa", "--limit", "2"]
    assert main([*command, "--workers", "0"]) == 2
    assert main([*command, "--threads", "0"]) == 2
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main([*command, "--workers", "2"]) == 2
    said = capsys.readouterr().err
    assert "--workers must be at least 1, not 0" in said and "--threads must be at least 1, not 0" in said
    assert "--workers and --ray need the package ray: pip install 'evalkit[ray]'" in said


def test_several_gpus_per_worker_are_refused_where_they_cannot_be(checkpoint, capsys, monkeypatch):
    command = ["run", "--model", str(checkpoint), "--tasks", "world_qa", "--limit", "2", "--gpus-per-worker"]
    assert main([*command, "2"]) == 2
    assert f"{checkpoint}: evalkit's own engine computes on one GPU; hf:{checkpoint} can be split over 2" in (
        capsys.readouterr().err
    )
    assert main([*command, "0"]) == 2
    assert "--gpus-per-worker must be at least 1, not 0" in capsys.readouterr().err
    assert main([word.replace(str(checkpoint), f"hf:{checkpoint}") for word in command] + ["2"]) == 2
    assert "2 GPUs per worker need --device cuda" in capsys.readouterr().err


def test_a_worker_asks_ray_for_its_gpus(monkeypatch):
    """Without GPUs here: what the actors would be started with."""
    ray = pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")
    asked = []

    class Kind:
        def options(self, **options):
            asked.append(options)
            return self

        def remote(self):
            raise ClusterError("no GPU here")

    monkeypatch.setattr(ray, "remote", lambda kind: Kind())
    with pytest.raises(ClusterError):
        Crew(device="cuda", number=1, threads=4, gpus=2).compute()
    assert asked[0] | {"num_gpus": 2, "num_cpus": 1} == asked[0]


def test_torchrun_is_told_what_to_do_instead(checkpoint, monkeypatch, capsys):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "4")
    for command in (["run", "--model", str(checkpoint)], ["watch", str(checkpoint)],
                    ["gate", "--base", str(checkpoint), "--model", str(checkpoint)]):  # fmt: skip
        assert main(command) == 2
        told = f"give evalkit {command[0]} --workers 4 (on several machines --ray ADDRESS) without torchrun"
        assert told in capsys.readouterr().err
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert main(["run", "--model", str(checkpoint), "--tasks", "world_pronouns", "--limit", "2"]) == 0


def test_an_address_at_which_nobody_listens(checkpoint, capsys):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")
    code = (
        "import sys; from evalkit.cli import main\n"
        f"sys.exit(main(['run', '--model', {str(checkpoint)!r}, '--tasks', 'world_qa', '--ray', '127.0.0.1:1']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2 and "--ray 127.0.0.1:1: no cluster of Ray answers there" in done.stderr


def test_threads_are_given_back(checkpoint):
    before = torch.get_num_threads()
    few = evalkit.load_tasks("world_pronouns", limit=3)
    evalkit.evaluate(checkpoint, few, out="run", threads=before + 1)
    assert torch.get_num_threads() == before


DRIVER = """
import sys, time
from evalkit.cli import main
from evalkit.engine import open
from evalkit.harness import run
run.UNIT_TOKENS = 400

def make(path, **options):
    engine = open.load_engine(path)
    for name in ("loglikelihood", "loglikelihood_rolling", "generate_until"):
        def slow(requests, answer=getattr(engine, name)):
            time.sleep(0.1)
            yield from answer(requests)
        setattr(engine, name, slow)
    return engine

open.ENGINES.add("slow", make)
sys.exit(main(sys.argv[1:]))
"""


def children(process):
    """The ids of the workers that a driver has started."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = folder.joinpath("stat").read_text().rpartition(")")[2].split()
            command = folder.joinpath("cmdline").read_bytes()
        except OSError:
            continue
        parents[int(folder.name)] = (int(state[1]), command if state[0] != "Z" else b"")
    found = []
    for child, (parent, command) in parents.items():
        while parent in parents and parent != process.pid:
            parent = parents[parent][0]
        if parent == process.pid and b"ray::Worker" in command:
            found.append(child)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds workers in /proc")
def test_workers_and_drivers_killed_at_any_moment(checkpoint, small_units, capsys):
    pytest.importorskip("ray", reason="Ray is not installed (pip install 'evalkit[ray]')")
    script = small_units / "driver.py"
    script.write_text(DRIVER)
    rng = random.Random(KILLS)
    other = small_units / "other"
    shutil.copytree(checkpoint, other)
    command = [sys.executable, str(script), "run", "--model", f"slow:{checkpoint},slow:{other}", "--tasks", TASKS,
               "--shots", "0,2", "--limit", "12", "--out"]  # fmt: skip
    assert subprocess.run([*command, "whole", "--threads", "1"], capture_output=True).returncode == 0
    whole = {path.parent.name: path.read_bytes() for path in Path("whole").glob("*/results.json")}
    assert len(whole) == 2
    killed = {"driver": 0, "worker": 0}
    rounds = 0
    while sum(killed.values()) < KILLS:
        rounds += 1
        out = small_units / f"run{rounds}"
        while not all((out / name / "results.json").exists() for name in whole):
            process = subprocess.Popen([*command, str(out), "--workers", "2"], stdout=-3, stderr=-3)
            while process.poll() is None:
                time.sleep(rng.uniform(0, 3))
                workers = children(process)
                if sum(killed.values()) < KILLS and workers and process.poll() is None:
                    name = rng.choice(["driver", "worker", "worker"])
                    victim = rng.choice(workers) if name == "worker" else process.pid
                    os.kill(victim, signal.SIGKILL)
                    killed[name] += 1
            process.wait()
        assert {name: (out / name / "results.json").read_bytes() for name in whole} == whole
    with capsys.disabled():
        print(f" [{killed['worker']} workers and {killed['driver']} drivers killed in {rounds} runs]", end="")
