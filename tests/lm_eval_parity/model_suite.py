"""lm-evaluation-harness's own tests of models, with its model `evalkit` in the place of HFLM.

    python -m tests.lm_eval_parity.model_suite --lm-eval-python PYTHON --checkout FOLDER --data FOLDER

FOLDER of --checkout holds lm-evaluation-harness's sources, for its package comes without its tests. They name models
and data sets of the hub; here they get a bundled model and local copies (copies.py), and what they expect of Pythia is
replaced by what HFLM, with transformers, answers with the same model. All else of the tests is theirs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

# The tests that any model of lm-evaluation-harness can be given; the others' reasons.
_HFLM = "test_huggingface.py: Test_HFLM"
_ANSWERS = ("test_logliklihood", "test_logliklihood_rolling", "test_generate_until")
_EVALUATOR = (("arc_easy", 10, 0), ("mmlu_abstract_algebra", None, 1000))
_NOT_OURS = {
    "test_toc_encode, test_toc_decode, test_batch_encode, test_model_generate": "methods of HFLM alone",
    "test_loglikelihood_rejects_enable_thinking": "a chat model's option",
    "test_evaluator.py: test_printed_results": "compares with the stored table of a model of the hub",
    "the other files of tests/models": "functions and servers of one other model each",
}


def main() -> int:
    """Prepare a model and the data, run the tests in lm-evaluation-harness's Python; 1 where one fails."""
    parser = argparse.ArgumentParser(prog="python -m tests.lm_eval_parity.model_suite", description=__doc__)
    parser.add_argument("--lm-eval-python", type=Path, required=True, help="one that has lm_eval 0.4.13 and pytest")
    parser.add_argument("--checkout", type=Path, required=True, help="lm-evaluation-harness's sources")
    parser.add_argument("--data", type=Path, default=os.environ.get("EVALKIT_DATA"), help="benchmark files")
    parser.add_argument("--model", default="micro", help="a bundled model (default: micro)")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("--data or EVALKIT_DATA: where are the benchmark files?")
    from tests.lm_eval_parity.compare import Setup
    from tests.lm_eval_parity.report import write_model

    with tempfile.TemporaryDirectory() as temporary:
        folder, root = Path(temporary) / "model", Path(temporary) / "data"
        write_model(arguments.model, folder)
        setup = Setup(python=arguments.lm_eval_python, root=root)
        setup.write_copies(Path(arguments.data))
        tests = Path(arguments.checkout).resolve() / "tests"
        command = [str(setup.python.absolute()), str(Path(__file__).resolve()), str(tests), str(folder), str(root)]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
        return subprocess.run(command, cwd=temporary, env=environment).returncode


def inside(tests: Path, folder: str, root: Path) -> int:
    """Run the tests; this Python has lm_eval."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false")
    from tests.lm_eval_parity.theirs import local_data

    local_data(root)
    from lm_eval.models import huggingface

    from evalkit.lm_eval.model import EvalkitLM, register

    register()
    theirs = huggingface.HFLM
    huggingface.HFLM = lambda pretrained, **_: EvalkitLM(pretrained=folder, dtype="fp32")
    suite = _module(tests / "models" / "test_huggingface.py").Test_HFLM
    huggingface.HFLM = theirs
    assert isinstance(suite.LM, EvalkitLM)
    hf = theirs(pretrained=folder, dtype="float32", device="cpu")
    suite.MULTIPLE_CH_RES = [found for found, _ in hf.loglikelihood(suite.MULTIPLE_CH)]
    suite.ROLLING_RES = hf.loglikelihood_rolling(suite.ROLLING)
    suite.generate_until_RES = hf.generate_until(suite.generate_until)
    failed = [name for name in _ANSWERS if not _passes(f"{_HFLM}.{name}", getattr(suite(), name))]
    evaluator = _module(tests / "test_evaluator.py")
    for task, limit, resamples in _EVALUATOR:
        asked = ([task], limit, "evalkit", f"pretrained={folder},dtype=float32", resamples)
        if not _passes(f"test_evaluator.py: test_evaluator[{task}]", evaluator.test_evaluator, *asked):
            failed.append(task)
    for names, reason in _NOT_OURS.items():
        print(f"left out  {names}: {reason}")
    print(f"{len(_ANSWERS) + len(_EVALUATOR)} tests, {len(failed)} failed")
    return int(bool(failed))


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _passes(name: str, test: Any, *arguments: Any) -> bool:
    try:
        test(*arguments)
    except Exception as error:
        print(f"FAILED    {name}: {type(error).__name__}: {error}")
        return False
    print(f"passed    {name}")
    return True


if __name__ == "__main__":
    sys.exit(inside(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])) if len(sys.argv) == 4 else main())
