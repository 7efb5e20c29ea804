"""Interleaving: two rankings in one list, and which of them the clicks prefer.

    shown = pc.interleave.team_draft(slate_a, slate_b, seed=7, request_id="r-1")
    shown.ids                                     # what to show
    outcomes.append(shown.credit(clicked_ids))    # later, when clicks are known
    print(pc.interleave.preference(outcomes))

One user sees both rankings at once, so far fewer clicks decide than between two groups of users. See
docs/interleave.md.
"""

from __future__ import annotations

from ._lists import Credit, Interleaved
from ._optimized import optimized
from ._preference import Preference, preference
from ._team_draft import team_draft

__all__ = ["Credit", "Interleaved", "Preference", "optimized", "preference", "team_draft"]
