"""Named spans of work within a frame, for whoever measures it.

A room that does the work names it, `with span("lift")`, and knows nothing of who listens: the live session, on its own
threads. Where nobody does, a span costs a look into a thread's own namespace.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

Section = Callable[[str], AbstractContextManager[None]]
"""Measures the body of a `with` block under a name."""

_here = threading.local()
_nobody: AbstractContextManager[None] = nullcontext()


def span(name: str) -> AbstractContextManager[None]:
    """To be entered around a piece of work on this thread; spans may nest."""
    section: Section | None = getattr(_here, "section", None)
    return _nobody if section is None else section(name)


@contextmanager
def measured_by(section: Section) -> Iterator[None]:
    """Within this, spans of the calling thread are measured by `section`; those of other threads are not."""
    before: Section | None = getattr(_here, "section", None)
    _here.section = section
    try:
        yield
    finally:
        _here.section = before
