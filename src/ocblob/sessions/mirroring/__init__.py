"""Sessions kept in another database, which gets every change and gives every row back as it was."""

from ocblob.sessions.mirroring.apply import Direction, apply_mirror, definitions
from ocblob.sessions.mirroring.plan import MirrorPlan, plan_mirror
from ocblob.sessions.mirroring.rehydrating import RehydratedSnapshot, rehydrated
from ocblob.sessions.mirroring.report import MirrorFate, MirrorReport
from ocblob.sessions.mirroring.sending import Manner
from ocblob.sessions.mirroring.transforming import Transformer

__all__ = [
    "Direction",
    "Manner",
    "MirrorFate",
    "MirrorPlan",
    "MirrorReport",
    "RehydratedSnapshot",
    "Transformer",
    "apply_mirror",
    "definitions",
    "plan_mirror",
    "rehydrated",
]
