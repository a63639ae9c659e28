"""The network that comes with this program, where it does."""

from pathlib import Path

COMPACT_FILE = Path(__file__).parent / "data" / "compact.pt"


def shipped_checkpoint() -> Path | None:
    """This project's own compact network, or None in an installation without it."""
    return COMPACT_FILE if COMPACT_FILE.is_file() else None
