"""How the constants of the demo were chosen: `python -m perso_core.demo.tune [--data PATH]`, a few minutes.

The held-out ratings take no part. Of the ratings that remain, each user's last ten (but at most half) are
held out again; every setting below is trained on the rest and judged by nDCG@20 on those.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import astuple, replace
from pathlib import Path

import perso_core as pc

from . import data, download, features, metrics, pipeline, policies
from .split import split

SEED = 7


class Bench:
    """The validation split, and the score of a policy on it."""

    def __init__(self, folder: Path) -> None:
        self.movielens = data.load(folder, data.ML_100K)
        kept, _ = split(self.movielens.ratings)
        self.kept, self.judged = split(kept, at_most=0.5)

    def open(self, cf: features.CfSettings, content: features.ContentSettings) -> Trial:
        """Train with these settings."""
        return Trial(self, features.build(self.movielens, self.kept, SEED, cf, content))


class Trial:
    """One set of features on the validation split."""

    def __init__(self, bench: Bench, made: features.Features) -> None:
        self._catalog = pipeline.build_catalog(bench.movielens, made, SEED)
        self._people = pipeline.audience(bench.movielens, made, bench.kept)
        users = bench.movielens.user_ids
        self._judge = metrics.Judge(users, bench.judged, bench.movielens.films, made.items["content"])

    def quality(self, policy: pc.Policy, spaces: tuple[str, ...] = ("cf", "content")) -> metrics.Quality:
        """What the policy is worth."""
        return self.judge(policies.Named("tune", "", policy, spaces))

    def judge(self, named: policies.Named) -> metrics.Quality:
        """The same of a policy with what it is given."""
        return self._judge.quality(pipeline.rank_all(self._catalog, self._people, named, metrics.K, SEED))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all searches and print the best of each."""
    parser = argparse.ArgumentParser(prog="python -m perso_core.demo.tune", description=__doc__)
    parser.add_argument("--data", type=Path, metavar="PATH", help="as for perso-core demo")
    bench = Bench(download.find(parser.parse_args(arguments).data))
    print(f"Validation: {len(bench.kept)} ratings to learn from, {len(bench.judged)} to judge by.")
    best_of(
        "cf: confidence, regularization, iterations, fold-in confidence, films to half", cf_settings(bench)
    )
    cf = features.CfSettings()
    best_of(
        "text: title weight, liked films, liked stars, films to half (hybrid)", content_settings(bench, cf)
    )
    trial = bench.open(cf, features.ContentSettings())
    best_of("blend: content, popularity, freshness, half-life", blends(trial))
    strengths(trial)


def cf_settings(bench: Bench) -> Iterator[tuple[metrics.Quality, object]]:
    """The factor model alone, over its settings."""
    policy = pc.Policy(candidates=policies.POOL, score=pc.Blend({"cf": 1.0}))
    grid = itertools.product((0.5, 1.0, 2.0), (15.0, 22.0, 30.0), (1.0, 4.0), (2.0, 4.0, 8.0))
    settings = [features.CfSettings(a, b, 20, c, d) for a, b, c, d in grid]
    # The chosen setting without its memory of order: what weighting the latest films more is worth.
    settings.append(replace(features.CfSettings(), fold_in_confidence=1.0, films_to_half=1e9))
    for cf in settings:
        yield bench.open(cf, features.ContentSettings()).quality(policy, ("cf",)), astuple(cf)


def content_settings(bench: Bench, cf: features.CfSettings) -> Iterator[tuple[metrics.Quality, object]]:
    """The hybrid over the settings of the text space."""
    policy = pc.Policy(candidates=policies.POOL, score=policies.hybrid_score())
    for title, films, half in itertools.product((0.3, 0.6, 1.0), (5, 10, 20), (3.0, 5.0)):
        content = features.ContentSettings(title, films, 4, half)
        yield bench.open(cf, content).quality(policy), astuple(content)


def blends(trial: Trial) -> Iterator[tuple[metrics.Quality, object]]:
    """The hybrid over its weights; (0, 0, 0) is the factor model on the pool of the hybrid."""
    grid = itertools.product(
        (0.0, 0.02, 0.05, 0.1, 0.2), (0.0, 0.05, 0.1, 0.2), (0.0, 0.02, 0.05, 0.1), ("1461d", "2922d")
    )
    for weights in grid:
        score = policies.hybrid_score(*weights)
        yield trial.quality(pc.Policy(candidates=policies.POOL, score=score)), weights


# The kinds do not mean the same by a number. Calibrated soon takes nDCG and leaves recall: it fills shares in the
# first slots, where nDCG looks.
TRIED = {
    "MMR": (0.1, 0.15, 0.2, 0.25, 0.3, 0.4),
    "DPP": (0.01, 0.02, 0.025, 0.03, 0.05, 0.1, 0.2),
    "Spread": (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.7),
    "Calibrated": (0.1, 0.15, 0.2, 0.3, 0.5, 0.7, 0.9),
}


def strengths(trial: Trial) -> None:
    """Print every kind of diversity at every strength, and the share of the hybrid's nDCG that it leaves."""
    whole = trial.judge(policies.varied()[0])
    print(f"\nDiversity: the hybrid  {line(whole)}")
    for kind, tried in TRIED.items():
        for strength in tried:
            named = policies.at_strength(kind, strength)
            found = trial.judge(named)
            print(f"  {line(found)}  {found.ndcg / whole.ndcg:6.1%}  {named.name}")


def best_of(title: str, tried: Iterator[tuple[metrics.Quality, object]]) -> None:
    """Print the ten best of what was tried, and the last."""
    found = list(tried)
    last = found[-1]
    found.sort(key=lambda one: -one[0].ndcg)
    print(f"\n{title}: the ten best of {len(found)}, and the last tried")
    for quality, setting in [*found[:10], last]:
        print(f"  {line(quality)}  {setting}")


def line(quality: metrics.Quality) -> str:
    """Quality in a few figures."""
    return (
        f"nDCG {quality.ndcg:.4f}  recall {quality.recall:.4f}  "
        f"diversity {quality.diversity:.3f}  coverage {quality.coverage:.3f}"
    )


if __name__ == "__main__":
    main()
