"""Item factors of MovieLens-100K, trained by 943 simulated phones that keep their ratings; with and without noise.

Run it with `python examples/federated.py` (`--small` for a taste). It needs `perso_core[examples]` and the ratings, which it
fetches as `perso-core demo` does. Each phone is a Flower ClientApp that holds one user's ratings; the strategy is Flower's
interface over `pc.federated`. The phones run in this process, one after the other, because Flower's own simulation needs
Ray. Without Flower a plain loop does the same, to the bit.

What is learned is a vector q for each film, such that a vector p of the user, fitted on the phone, gives p q = stars - 3.5
where there are stars and -3, with a small weight, where there are none (Steck 2010, *Training and testing of recommender
systems on data missing not at random*, KDD). A phone sends how its ratings would move the q, and never its p.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import perso_core as pc
from perso_core.demo import data, download, split

Floats = NDArray[np.float64]

DIM = 12
MIDDLE = 3.5  # of the stars; the mean of the ratings would tell something of them
MISSING, MISSING_WEIGHT = -3.0, 0.1
RIDGE, RIDGE_OF_RATINGS = 2.0, 20.0
K = 20
DELTA = 1e-4  # well below one in 943
SEED = 7


@dataclass(frozen=True)
class Taste:
    """The ratings of one user: rows of films, and stars less the middle."""

    rows: NDArray[np.int64]
    stars: Floats


# --- on the phone ----------------------------------------------------------------------------------


def fit(films: Floats, taste: Taste, missing_weight: float = MISSING_WEIGHT, ridge: float = RIDGE) -> Floats:
    """The user's vector for these films: weighted least squares with a ridge, in closed form."""
    seen = films[taste.rows]
    left = missing_weight * (films.T @ films) + (1 - missing_weight) * (seen.T @ seen)
    right = missing_weight * MISSING * films.sum(axis=0) + seen.T @ (taste.stars - missing_weight * MISSING)
    return np.linalg.solve(left + ridge * np.eye(films.shape[1]), right)


def learn(films: Floats, taste: Taste, clip: float) -> Floats:
    """How this user's ratings would move the films, clipped: the downward gradient of the squared error."""
    user = fit(films, taste)
    error = MISSING_WEIGHT * (MISSING - films @ user)
    error[taste.rows] = taste.stars - films[taste.rows] @ user
    # The server clips as well; a phone that does so itself need not trust it to.
    return pc.federated.clip(np.outer(error, user), clip)


# --- on the server ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setup:
    """What a training is told."""

    rounds: int
    noise_multiplier: float
    rate: float = 0.5
    clip: float = 10.0
    step: float = 1.0
    momentum: float = 0.7


class Server:
    """The films and their momentum. What it does with an update costs no privacy: it sees nothing else."""

    def __init__(self, films: int, phones: int, setup: Setup) -> None:
        self.films = 0.1 * np.random.default_rng(SEED).normal(size=(films, DIM))
        self.films[:, 0] = 1.0
        self._speed = np.zeros_like(self.films)
        self._setup, self._phones = setup, phones
        self._mechanism = pc.federated.Mechanism(setup.clip, setup.noise_multiplier, setup.rate * phones)

    def choose(self, phones: Iterable[int], round: int) -> list[int]:
        """Who takes part: a coin each."""
        return pc.federated.sample(phones, self._setup.rate, seed=SEED, round=round)

    def take(self, deltas: dict[int, Floats], round: int) -> None:
        """Move the films. The seed makes this script repeat itself; a service leaves it out."""
        update = self._mechanism.aggregate(self.films, deltas, bad="drop", seed=SEED, round=round)
        self._speed = self._setup.momentum * self._speed + update.delta - RIDGE * self.films / self._phones
        self.films = self.films + self._setup.step * self._speed


def in_a_loop(tastes: list[Taste], films: int, setup: Setup) -> Floats:
    """The training, without any framework."""
    server = Server(films, len(tastes), setup)
    for round in range(1, setup.rounds + 1):
        chosen = server.choose(range(len(tastes)), round)
        server.take({user: learn(server.films, tastes[user], setup.clip) for user in chosen}, round)
    return server.films


def on_flower(tastes: list[Taste], films: int, setup: Setup) -> Floats:
    """The same through Flower: an app for the phones, a strategy for the server, messages between them."""
    # Before Flower is imported: it would report to its makers.
    os.environ.setdefault("FLWR_TELEMETRY_ENABLED", "0")
    from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
    from flwr.clientapp import ClientApp
    from flwr.serverapp.strategy import Strategy
    from flwr.supercore.task_identity import TaskIdentity

    # What a Flower runtime says of itself before it calls an app; messages carry it.
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 0, len(tastes), 0
    logging.getLogger("flwr").setLevel(logging.WARNING)
    phone = ClientApp()

    @phone.train()
    def train(message: Message, context: Context) -> Message:
        taste = tastes[int(context.node_config["partition-id"])]
        model = message.content["model"]["films"].numpy()
        delta = learn(model, taste, float(message.content["config"]["clip"]))
        return Message(RecordDict({"delta": ArrayRecord({"films": Array(delta)})}), reply_to=message)

    class Private(Strategy):
        """Flower's rounds over `pc.federated`: coins for phones, and sums with noise."""

        def __init__(self) -> None:
            self.server = Server(films, len(tastes), setup)

        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Any
        ) -> Iterable[Message]:
            content = RecordDict({"model": arrays, "config": ConfigRecord({"clip": setup.clip})})
            chosen = self.server.choose(grid.get_node_ids(), server_round)
            return [Message(content, node, "train", group_id=str(server_round)) for node in chosen]

        def aggregate_train(
            self, server_round: int, replies: Iterable[Message]
        ) -> tuple[ArrayRecord, MetricRecord | None]:
            deltas = {
                reply.metadata.src_node_id: reply.content["delta"]["films"].numpy()
                for reply in replies
                if reply.has_content()
            }
            self.server.take(deltas, server_round)
            return ArrayRecord({"films": Array(self.server.films)}), None

        # Phones could be asked how well they do; what they said would be another release to account for.
        def configure_evaluate(self, *_: Any) -> Iterable[Message]:
            return []

        def aggregate_evaluate(self, *_: Any) -> None:
            return None

        def summary(self) -> None:
            pass

    class Phones:
        """What a strategy asks of a Flower Grid: who is there, and their replies; here without a network."""

        def get_node_ids(self) -> Iterable[int]:
            return range(len(tastes))

        def send_and_receive(self, messages: Iterable[Message], **_: Any) -> Iterable[Message]:
            return [phone(message, context(message.metadata.dst_node_id)) for message in messages]

    def context(node: int) -> Context:
        return Context(
            run_id=0, node_id=node, node_config={"partition-id": node}, state=RecordDict(), run_config={}
        )

    strategy = Private()
    start = ArrayRecord({"films": Array(strategy.server.films)})
    trained = strategy.start(Phones(), start, num_rounds=setup.rounds)
    return trained.arrays["films"].numpy()


# --- what it is worth ------------------------------------------------------------------------------


def centrally(tastes: list[Taste], films: int, sweeps: int) -> Floats:
    """The same loss with all ratings in one place: alternating least squares, to convergence."""
    of_films = turned(tastes, films)
    vectors = Server(films, len(tastes), Setup(0, 0.0)).films
    for _ in range(sweeps):
        users = np.array([fit(vectors, taste) for taste in tastes])
        vectors = np.array([fit(users, raters) for raters in of_films])
    return vectors


def turned(tastes: list[Taste], films: int) -> list[Taste]:
    """The ratings of each film, with rows of users."""
    film = np.concatenate([taste.rows for taste in tastes])
    user = np.repeat(np.arange(len(tastes)), [len(taste.rows) for taste in tastes])
    stars = np.concatenate([taste.stars for taste in tastes])
    return [Taste(user[film == row], stars[film == row]) for row in range(films)]


def rmse(films: Floats, tastes: list[Taste], later: list[Taste]) -> float:
    """Of the stars held out, from vectors that are fitted to the stars that are known."""
    squares = []
    for taste, held in zip(tastes, later, strict=True):
        guess = films[held.rows] @ fit(films, taste, 0.0, RIDGE_OF_RATINGS) + MIDDLE
        squares.append((np.clip(guess, 1, 5) - held.stars - MIDDLE) ** 2)
    return float(np.concatenate(squares).mean() ** 0.5)


def ranking(scores: Iterable[Floats], tastes: list[Taste], later: list[Taste]) -> tuple[float, float]:
    """(recall@20, nDCG@20) among the films a user has not rated, means over users; a film's gain is its stars."""
    recalls, gains = [], []
    discount = 1 / np.log2(np.arange(K) + 2)
    for score, taste, held in zip(scores, tastes, later, strict=True):
        score = score.copy()
        score[taste.rows] = -np.inf
        shown = np.argsort(-score, kind="stable")[:K]
        stars = np.zeros(len(score))
        stars[held.rows] = held.stars + MIDDLE
        recalls.append((stars[shown] > 0).sum() / len(held.rows))
        best = np.sort(held.stars + MIDDLE)[::-1][:K]
        gains.append((stars[shown] * discount).sum() / (best * discount[: len(best)]).sum())
    return float(np.mean(recalls)), float(np.mean(gains))


# --- the script ------------------------------------------------------------------------------------


def tastes_of(movielens: data.MovieLens, ratings: data.Ratings) -> list[Taste]:
    rows, stars = movielens.films.rows(ratings.items), ratings.stars - MIDDLE
    return [Taste(rows[ratings.users == user], stars[ratings.users == user]) for user in movielens.user_ids]


def training() -> tuple[str, Callable[[list[Taste], int, Setup], Floats]]:
    try:
        import flwr
    except ImportError:
        return "a plain loop (Flower is not installed)", in_a_loop
    return f"Flower {flwr.__version__}", on_flower


def main() -> None:
    parser = argparse.ArgumentParser(description="Federated item factors, and what privacy costs them.")
    parser.add_argument(
        "--small", action="store_true", help="120 users, few rounds: seconds, and poor figures"
    )
    parser.add_argument("--data", type=Path, help="a folder with the ratings, in place of the cache")
    parser.add_argument("--plain", action="store_true", help="a plain loop, even where Flower is there")
    options = parser.parse_args()

    movielens = data.load(download.find(options.data), None)
    if options.small:
        movielens = replace(movielens, user_ids=movielens.user_ids[:120])
    kept, held_out = split.split(movielens.ratings)
    tastes, later = tastes_of(movielens, kept), tastes_of(movielens, held_out)
    films, rounds = len(movielens.films), 4 if options.small else 20
    name, train = ("a plain loop", in_a_loop) if options.plain else training()
    print(
        f"{len(tastes)} phones, {films} films, {rounds} rounds at rate {Setup(0, 0).rate}, delta {DELTA}, {name}"
    )

    print(f"\n{'training':<24}{'noise':>7}{'RMSE':>8}{'recall@20':>11}{'nDCG@20':>9}{'seconds':>9}")

    def row(text: str, noise: str, error: str, scores: Iterable[Floats], start: float) -> None:
        recall, gain = ranking(scores, tastes, later)
        seconds = time.perf_counter() - start
        print(f"{text:<24}{noise:>7}{error:>8}{recall:>11.3f}{gain:>9.3f}{seconds:>9.1f}", flush=True)

    def factors(text: str, noise: str, vectors: Floats, start: float) -> None:
        scores = (vectors @ fit(vectors, taste) for taste in tastes)
        row(text, noise, f"{rmse(vectors, tastes, later):.3f}", scores, start)

    start = time.perf_counter()
    counts = np.bincount(np.concatenate([taste.rows for taste in tastes]), minlength=films).astype(float)
    row("by popularity", "", "", [counts] * len(tastes), start)
    start = time.perf_counter()
    factors("central", "", centrally(tastes, films, 3 if options.small else 15), start)
    trained = np.empty(0)
    for epsilon in (None, 8.0) if options.small else (None, 16.0, 8.0, 4.0, 2.0):
        start, noise = time.perf_counter(), 0.0
        if epsilon is not None:
            noise = pc.federated.noise_multiplier(
                epsilon, rounds=rounds, delta=DELTA, sampling_rate=Setup(0, 0).rate
            )
        trained = train(tastes, films, Setup(rounds, noise))
        what = "federated, no noise" if epsilon is None else f"federated, epsilon {epsilon:g}"
        factors(what, f"{noise:.2f}", trained, start)

    # What it is for: the server ships the factors, and a phone ranks with them.
    catalog = pc.Catalog({"cf": pc.Space(DIM, "ip")})
    catalog.upsert(movielens.films.ids, trained, {"title": movielens.films.titles})
    user, seen = fit(trained, tastes[0]), movielens.films.ids[tastes[0].rows]
    print(
        "\n",
        pc.rank(
            catalog, user, pc.Policy(diversity=pc.MMR(0.2)), k=5, exclude=seen, seed=1, request_id="phone"
        ),
        sep="",
    )


if __name__ == "__main__":
    main()
