"""Of whose faces the program has learned, and so how independent a row of the judge is."""

from dataclasses import dataclass

from benchmarks.leave_out import ARTIST_OF
from realtime.config import MotionOptions

PRIOR_BASES = frozenset({"cc0", "ict", "mpfb2", "valid"})
"""By whose performers the shipped prior was trained. Whoever trains it anew changes this, too."""

NETWORK_BASES = frozenset({"cc0", "ict", "valid"})
"""Whose people trained the shipped flow network's generator. Whoever trains it anew changes this, too."""

ENCODER_BASES = frozenset({"cc0"})
"""Whose people trained its encoder, which was frozen since."""

TEMPLATE_BASES = frozenset(ARTIST_OF)
"""Whose units the shipped template is a consensus of."""

KNOWN = ("neither", "driver", "avatar", "both")


@dataclass(frozen=True)
class Learned:
    """Bases (`tools.artist_rigs`) of which what is judged has learned.

    Attributes:
        prior, network, encoder: those of the expression prior, and of the flow network that comes with the program and
            its encoder.
        own_network: those of a flow network that is given as a file.
        template: those of whom its units are a consensus; none where each avatar's own artist is left out of them.
    """

    prior: frozenset[str] = PRIOR_BASES
    network: frozenset[str] = NETWORK_BASES
    encoder: frozenset[str] = ENCODER_BASES
    own_network: frozenset[str] = NETWORK_BASES
    template: frozenset[str] = frozenset()

    def pair(self, driver: str, avatar: str, flow: MotionOptions | None = None) -> str:
        """Of which of two bases the engine has learned that plays this driver on this avatar, one of KNOWN. `flow`: the
        flow engine's options, where it is that."""
        network = self._network(flow)
        named = self.prior
        if flow is not None and flow.flow.code == "encoder":
            named = self.encoder if flow.checkpoint is None else network
        return _told(driver in named, avatar in named | network | self.template)

    def units_on(self, avatar: str, flow: MotionOptions | None = None) -> str:
        """The same for true units on an avatar: nobody is read, so the prior does not count."""
        return _told(False, avatar in self._network(flow) | self.template)

    def _network(self, flow: MotionOptions | None) -> frozenset[str]:
        if flow is None:
            return frozenset()
        return self.network if flow.checkpoint is None else self.own_network


def _told(driver: bool, avatar: bool) -> str:
    return KNOWN[driver + 2 * avatar]
