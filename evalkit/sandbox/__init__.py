"""Work that strangers' files ask for: templates and regular expressions, under limits that hold whatever they do.

environment.py: Jinja with a budget, for any process. worker.py: the child process that the system ends where it takes
too much time or memory. child.py: how it is asked. tokenizer_rules.py: rules of
tokenizers, bounded or tried there.
"""
