"""Keeping a framework's remarks on the machine away from somebody who asked for something else."""

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from search.cli.common import echo

_CHATTER = re.compile(
    r"[IWE]\d{4} \d\d:\d\d:\d\d|WARNING: All log messages before absl::InitializeLog"
)
"""How TensorFlow's C++ begins its lines; it writes some before it looks at TF_CPP_MIN_LOG_LEVEL."""


@contextmanager
def without_chatter() -> Iterator[None]:
    """Hold stderr back, C++'s too; at the end, however it comes, what is no chatter of TensorFlow's
    is written.
    """
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(terminal, 2)
            os.close(terminal)
            chatter.seek(0)
            for line in chatter.read().decode(errors="replace").splitlines():
                if not _CHATTER.match(line):
                    echo(line, err=True)
