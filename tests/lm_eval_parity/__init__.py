"""evalkit beside lm-evaluation-harness on its own task files: the same prompts, draws, values and standard errors.

Run by hand, with a Python that has lm_eval 0.4.13:

    python -m tests.lm_eval_parity --lm-eval-python PYTHON --data FOLDER

    python -m tests.lm_eval_parity.report --lm-eval-python PYTHON --data FOLDER

The first has both ask a model of hashes, in a few minutes; the second a real one, and writes reports/lm-eval-parity.md.
copies.py makes local copies in the hub's layout, theirs.py runs inside that Python, compare.py tells the difference.
"""
