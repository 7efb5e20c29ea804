"""Draws docs/plots/*.svg, one for each page of docs/policies and for some of docs: `make plots`.

Every figure comes from running the library with fixed seeds, so it is the same in each run, to the byte with one
version of matplotlib. One more page is one more function below, under `@page("its name")`, and a line in the page:

    ![what it shows](../plots/its_name.svg)

(`plots/its_name.svg` from a page of docs itself.)

`python docs/plots/make.py NAME ...` draws some of them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import made_up
import made_up_rules
import made_up_users
import numpy as np

import perso_core as pc
from perso_core.demo import simulate

FOLDER = Path(__file__).parent
SEED = 7
# Legible on a light and on a dark page alike.
BLUE, ORANGE, GREEN, PURPLE, GREY = "#3b7dd8", "#d9822b", "#4f9d5d", "#a55fb5", "#808590"
STYLE = {
    "figure.figsize": (5.2, 3.0),
    "font.size": 9,
    "text.color": GREY,
    "axes.labelcolor": GREY,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    # Text stays text: small, sharp, and found by a search.
    "svg.fonttype": "none",
    # Names of elements are random otherwise.
    "svg.hashsalt": "perso_core",
}

PAGES: dict[str, Callable[[Any], None]] = {}


def page(name: str) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Registers what draws the figure of docs/policies/`name`.md, or docs/`name`.md, on a pair of axes."""

    def register(draw: Callable[[Any], None]) -> Callable[[Any], None]:
        PAGES[name] = draw
        return draw

    return register


# --- diversity: what each strength costs in relevance and buys in variety ---------------------------


@page("mmr")
def mmr(axes: Any) -> None:
    """MMR over its diversity."""
    strengths = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    trade_off(axes, "MMR(d)", BLUE, [(d, pc.MMR(d)) for d in strengths])


@page("dpp")
def dpp(axes: Any) -> None:
    """DPP over its diversity, with and without a window."""
    strengths = (0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
    trade_off(axes, "DPP(d)", BLUE, [(d, pc.DPP(d)) for d in strengths])
    trade_off(axes, "DPP(d, window=3)", ORANGE, [(d, pc.DPP(d, window=3)) for d in strengths], named=False)
    axes.legend()


@page("spread")
def spread(axes: Any) -> None:
    """Spread over its diversity, with a narrow and a wide window."""
    strengths = (0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    trade_off(axes, "Spread(d, window=10)", BLUE, [(d, pc.Spread(d, 10)) for d in strengths])
    trade_off(axes, "Spread(d, window=3)", ORANGE, [(d, pc.Spread(d, 3)) for d in strengths], named=False)
    axes.legend()


@page("calibrated")
def calibrated(axes: Any) -> None:
    """Calibrated over its strength, against the divergence from the target."""
    strengths = (0, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
    parts = [(s, pc.Calibrated("topic", s)) for s in strengths]
    trade_off(axes, 'Calibrated("topic", s)', BLUE, parts, measure="divergence")
    axes.set_xlabel("divergence from the target, KL in nats")
    axes.invert_xaxis()


def trade_off(
    axes: Any,
    label: str,
    colour: str,
    parts: Sequence[tuple[float, Any]],
    named: bool = True,
    measure: str = "variety",
) -> None:
    """Mean relevance of slates over their variety, a point for each strength."""
    found = [made_up.quality(part) for _, part in parts]
    x, y = [getattr(one, measure) for one in found], [one.relevance for one in found]
    axes.plot(x, y, "o-", color=colour, label=label)
    if named:
        wide, high = max(x) - min(x), max(y) - min(y)
        last = None
        for (strength, _), a, b in zip(parts, x, y, strict=True):
            # Where points crowd, the first of them speaks for all.
            if last and abs(a - last[0]) < 0.05 * wide and abs(b - last[1]) < 0.07 * high:
                continue
            last = (a, b)
            axes.annotate(f"{strength:g}", (a, b), (5, 4), textcoords="offset points", fontsize=8)
    axes.set_xlabel("variety of a slate: mean 1 − cosine of its pairs")
    axes.set_ylabel("mean relevance")


# --- exploration: the probability by rank, or what is lost over time --------------------------------


@page("softmax")
def softmax(axes: Any) -> None:
    """Softmax at three temperatures: the law of the first slot."""
    kinds = [(f"Softmax({t:g})", pc.Softmax(t)) for t in (0.03, 0.1, 0.3)]
    by_rank(axes, [("EpsilonGreedy(0.1)", pc.EpsilonGreedy(0.1)), *kinds])


@page("plackett_luce")
def plackett_luce(axes: Any) -> None:
    """Plackett-Luce: in which slot an item of a rank lands."""
    policy = pc.Policy(candidates=10, score=pc.Blend(normalize="none"), explore=pc.PlackettLuce(0.1))
    shares = made_up.share_by_slot(policy, 10)
    for rank, colour in ((0, BLUE), (2, ORANGE), (5, GREEN), (9, PURPLE)):
        axes.plot(range(1, 11), shares[rank], "o-", color=colour, label=f"item of rank {rank + 1}")
    axes.set_xlabel("slot")
    axes.set_ylabel("share of slates, PlackettLuce(0.1)")
    axes.legend()


def by_rank(axes: Any, kinds: Sequence[tuple[str, Any]]) -> None:
    """The propensities that the first slot states, by the rank of what it shows."""
    for (label, part), colour in zip(kinds, (GREY, BLUE, ORANGE, GREEN), strict=True):
        stated = made_up.first_slot(pc.Policy(score=pc.Blend(normalize="none"), explore=part))
        axes.plot(list(stated), list(stated.values()), "o-", color=colour, label=label)
    axes.set_yscale("log")
    axes.set_ylim(bottom=1e-4)
    axes.set_xlabel("rank by score, of ten items from 0.9 down to 0")
    axes.set_ylabel("propensity in the first slot")
    axes.legend()


@page("epsilon_greedy")
def epsilon_greedy(axes: Any) -> None:
    """A constant and a falling epsilon, next to greedy."""
    regret(axes, {"greedy": GREY, "EpsilonGreedy(0.1)": BLUE, "EpsilonGreedy(0.3 to 0.02)": ORANGE})


@page("thompson")
def thompson(axes: Any) -> None:
    """Thompson sampling next to greedy and epsilon-greedy."""
    regret(axes, {"greedy": GREY, "EpsilonGreedy(0.1)": ORANGE, "ThompsonSampling": BLUE})


@page("ucb")
def ucb(axes: Any) -> None:
    """UCB next to greedy and epsilon-greedy."""
    regret(axes, {"greedy": GREY, "EpsilonGreedy(0.1)": ORANGE, "UCB(c=1)": BLUE})


def regret(axes: Any, colours: dict[str, str]) -> None:
    """Cumulative regret in the demo's simulation, with its standard error over worlds."""
    size = simulate.World()
    named = [one for one in simulate.explorers() if one.name in colours]
    requests = [(now + 1) * size.requests for now in range(size.rounds)]
    for one in simulate.compare(named, size, SEED):
        mean = one.regret.mean(axis=0)
        error = one.regret.std(axis=0, ddof=1) / size.seeds**0.5
        axes.plot(requests, mean, color=colours[one.name], label=one.name)
        axes.fill_between(requests, mean - error, mean + error, color=colours[one.name], alpha=0.15, lw=0)
    axes.set_xlabel("requests")
    axes.set_ylabel("clicks lost so far, ± standard error")
    axes.legend()


# --- caps and rules: what they do to a slate, and what that costs -----------------------------------


@page("caps")
def caps(axes: Any) -> None:
    """Soft and hard caps over the penalty: the commonest topic's share, and the score that is kept."""
    penalties = (0, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5)
    plain = made_up_rules.shown().score
    for limit, colour in ((3, BLUE), (6, ORANGE)):
        soft = [
            made_up_rules.shown({"topic": pc.Soft(limit, penalty)} if penalty else None)
            for penalty in penalties
        ]
        hard = made_up_rules.shown({"topic": limit})
        label = f"Soft({limit}, penalty)"
        axes.plot(penalties, [one.score / plain for one in soft], "o-", color=colour, label=f"{label}, score")
        axes.plot(penalties, [one.commonest for one in soft], "s--", color=colour, label=f"{label}, topic")
        for level in (hard.score / plain, hard.commonest):
            axes.axhline(level, color=colour, lw=0.8, ls=":")
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("penalty, in units of the score; dotted: the hard cap")
    axes.set_ylabel("share of the score, of the slate")
    axes.legend(ncols=2, fontsize=8)


@page("rules")
def rules(axes: Any) -> None:
    """A boost over `by`, for three sizes of the pool."""
    amounts = np.linspace(-0.2, 0.6, 17)
    for candidates, colour in ((24, BLUE), (60, ORANGE), (made_up.ITEMS, GREEN)):
        shares = [made_up_rules.boosted(float(by), candidates) for by in amounts]
        axes.plot(amounts, shares, "o-", color=colour, label=f"candidates={candidates}")
    axes.axhline(0.1, color=GREY, lw=0.8, ls=":")
    axes.set_xlabel("by, in units of the score (here a cosine); dotted: share of the catalog")
    axes.set_ylabel("share of boosted items in a slate")
    axes.legend()


@page("pins")
def pins(axes: Any) -> None:
    """What is stated for each slot, with and without pins."""
    slots = range(8)
    kinds = (
        ("no pin", GREY, (), None),
        ('Pin(2, where={"kind": "ad"})', BLUE, (pc.Pin(2, where={"kind": "ad"}),), None),
        ("pins={5: 7}", ORANGE, (), {5: 7}),
    )
    for label, colour, parts, pinned in kinds:
        stated = made_up_rules.stated_by_slot(parts, pinned, len(slots))
        axes.plot(slots, stated, "o-", color=colour, label=label)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("slot")
    axes.set_ylabel("mean propensity, Softmax(0.1)")
    axes.legend()


@page("minimum_exposure")
def minimum_exposure(axes: Any) -> None:
    """What a minimum costs over its count: as slates state it, and by the sums of their scores."""
    for top, colour in ((3, GREEN), (6, ORANGE), (made_up.K, BLUE)):
        counts = range(top + 1)
        prices = [made_up_rules.minimum(count, top).price for count in counts]
        axes.plot(counts, prices, "o-", color=colour, label=f"price, top={top}")
    # The same for every top: the same items, in another order.
    plain = made_up_rules.shown().score
    lost = [plain - made_up_rules.minimum(count, made_up.K).score for count in range(made_up.K + 1)]
    axes.plot(range(made_up.K + 1), lost, "s--", color=GREY, label="lost by the sum of the slate, any top")
    axes.set_xlabel("count")
    axes.set_ylabel("in units of the score")
    axes.legend()


# --- users: a taste that changes, and one that is in two places -------------------------------------


@page("profile")
def profile(axes: Any) -> None:
    """A profile's way to another topic and back, for three half-lives."""
    moments = np.arange(0, 10 * 60 + 1, 4)
    for half_life, colour in (("10m", BLUE), ("30m", ORANGE), ("2h", GREEN)):
        near = made_up_users.nearness(half_life, moments * made_up_users.MINUTE)
        axes.plot(moments / 60, near[:, 1], color=colour, label=f'half_life="{half_life}"')
        axes.plot(moments / 60, near[:, 0], color=colour, ls="--", lw=1)
    low = axes.get_ylim()[0]
    clicks = np.array(made_up_users.CLICKS) / (60 * made_up_users.MINUTE)
    axes.plot(clicks, np.full(len(clicks), low), "|", color=GREY, label="a click")
    axes.set_xlabel("hours")
    axes.set_ylabel("cosine with the new topic (dashed: old)")
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.6))


@page("users")
def users(axes: Any) -> None:
    """Four interests next to one summed vector, over the weight of all but the first."""
    weights = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.975, 1.0)
    for label, colour, apart in (("Interests", BLUE, True), ("one vector", ORANGE, False)):
        found = [made_up_users.reach(weight, apart) for weight in weights]
        axes.plot(weights, [one.first for one in found], "o-", color=colour, label=f"{label}: first topic")
        shown = [one.shown for one in found]
        axes.plot(weights, shown, "s--", color=colour, label=f"{label}: topics shown")
    axes.invert_xaxis()
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("weight of the three other topics")
    axes.set_ylabel("share of the slate, of the topics")
    axes.legend(ncols=2, fontsize=8, loc="lower center")


def draw(name: str, folder: Path = FOLDER) -> Path:
    """Draw one figure and write it; where it is."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    path = folder / f"{name}.svg"
    with pyplot.rc_context(STYLE):
        figure, axes = pyplot.subplots(layout="constrained")
        PAGES[name](axes)
        figure.savefig(path, metadata={"Date": None, "Creator": None}, transparent=True)
        pyplot.close(figure)
    # Paths end in spaces, which git would complain of.
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("".join(line.rstrip() + "\n" for line in lines), encoding="utf-8")
    return path


def main(names: Sequence[str]) -> None:
    """Draw those that are named, or all."""
    unknown = sorted(set(names) - set(PAGES))
    if unknown:
        sys.exit(f"make.py: expected names out of {', '.join(PAGES)}; got {', '.join(unknown)}")
    for name in names or PAGES:
        print(draw(name).name)


if __name__ == "__main__":
    main(sys.argv[1:])
