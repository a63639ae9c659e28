"""The network that comes with this program; `data/COMPACT_NETWORK.md` is its card."""

from pathlib import Path

COMPACT_FILE = Path(__file__).parents[2] / "data" / "compact.pt"
