"""Templates and regular expressions from untrusted files, run under limits that they cannot escape.

environment.py: Jinja with a budget, for any process. worker.py: a child process, which the system kills if it takes too
much time or memory. child.py: its client. tokenizer_rules.py: rules of tokenizers, bounded or tried in the child.
"""
