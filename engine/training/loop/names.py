"""What can be named on the command line; apart, so that reading it costs no import of PyTorch."""

from typing import Literal

StageName = Literal["code", "generator", "distill"]
ScheduleName = Literal["published", "cosine", "constant"]
Precision = Literal["fp32", "bf16"]
SizeName = Literal["published", "compact"]
Normalisation = Literal["live", "published"]
OptimizerName = Literal["adam", "muon"]
