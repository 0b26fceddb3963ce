"""Who is an influencer, and what their followers are: what commands and queries both speak of."""

from __future__ import annotations

from typing import Final

FAN: Final = "fan"
"""The user class of whom follows an influencer."""
INFLUENCER_FOLLOWERS: Final = 150
"""From so many on: one post of theirs changes so many timelines."""
