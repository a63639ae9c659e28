"""What is fuzzed: one loader of files, with good files to damage."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One loader.

    Attributes:
        name: of the loader, as the report lists it.
        make_seeds: writes good files into an empty folder and returns the paths that `load` takes: files or folders.
            Called once per run; has to be quick and must need nothing from outside the repository. Files that belong
            together lie in one folder inside it: all of that folder is copied, and any of it damaged, for each case.
        load: reads one path, and uses what it read as the program would (decodes every picture, asks for every frame).
            It may raise `InputError` ("refused"); any other exception is a fault ("other").
    """

    name: str
    make_seeds: Callable[[Path], list[Path]]
    load: Callable[[Path], object]
