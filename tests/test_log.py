"""Messages: each warning once, those of other libraries too, and nothing left behind."""

from __future__ import annotations

import logging
import warnings

import pytest

from evalkit.log import messages


def test_warnings_are_said_once_and_errors_always(capsys):
    log = logging.getLogger("evalkit.some.module")
    with messages("warning", None):
        for number in (1, 1, 2):
            log.warning("number %d", number)
            log.error("again")
            log.info("not asked for")
    with messages("info", None):
        log.warning("number %d", 1)
        log.info("plain")
    again = "evalkit: error: again\n"
    assert capsys.readouterr().err == (
        f"evalkit: warning: number 1\n{again}{again}evalkit: warning: number 2\n{again}"
        "evalkit: warning: number 1\nplain\n"
    )


@pytest.mark.filterwarnings("always")
def test_warnings_of_python_become_messages_while_it_lasts(capsys):
    before = warnings.showwarning, list(logging.getLogger().handlers), logging.getLogger("evalkit").level
    with messages("info", None):
        for _ in range(2):
            warnings.warn("soon gone", DeprecationWarning, stacklevel=1)
    assert capsys.readouterr().err == "evalkit: warning: DeprecationWarning: soon gone\n"
    assert before == (warnings.showwarning, logging.getLogger().handlers, logging.getLogger("evalkit").level)
