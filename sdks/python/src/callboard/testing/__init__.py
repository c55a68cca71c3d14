"""An in-process test kit: runs actors as a host and a node would, without either.

Turns run through the SDK's own code and every state, argument and reply is encoded and decoded, so
what passes here passes on a node. Time stands still unless the test advances it.
"""

from .clock import START, VirtualClock
from .kit import TestKit
from .lives import Broadcast, Effect, Fault, NextCall

__all__ = ["START", "Broadcast", "Effect", "Fault", "NextCall", "TestKit", "VirtualClock"]
