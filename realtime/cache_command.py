"""`vfa cache`: what is kept between starts, how much of it, and clearing it."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from core import cache_limit
from core.cache_folder import cache_folder
from core.errors import InputError


@dataclass(frozen=True, kw_only=True)
class CacheOptions:
    """Show what is kept between starts: prepared heads, compiled networks. All of it can be made anew."""

    clear: bool = False
    """Remove all of it."""

    limit: str | None = None
    """Keep no more than this from now on, such as 500MB or 2GB; what was not used for longest goes first."""

    def __post_init__(self) -> None:
        if self.limit is not None:
            cache_limit.parse_size(self.limit)
            if self.clear:
                raise InputError("--clear --limit: expected one of the two; leave the other out")


def cache(options: Annotated[CacheOptions, tyro.conf.arg(name="")]) -> None:
    """Show what is kept between starts and how large it is; clear it, or set how large it may grow."""
    root = cache_folder("")
    if options.clear:
        gone = cache_limit.clear(root)
        print(f"removed {len(gone)} entries, {cache_limit.as_words(sum(entry.size for entry in gone))}")
        return
    if options.limit is not None:
        cache_limit.set_limit(root, options.limit)
        cache_limit.trim(root)
    found = cache_limit.entries(root)
    for entry in found:
        size, age = cache_limit.as_words(entry.size), cache_limit.age_of(entry)
        print(f"{size:>10}  used {age:<14}  {entry.path.relative_to(root)}")
    total = cache_limit.as_words(sum(entry.size for entry in found))
    limit = cache_limit.as_words(cache_limit.limit_bytes(root))
    print(f"{total} of at most {limit} in {root}")
