"""Records of an earlier release: they replay bit for bit, and today's code writes the same ones."""

import json
from pathlib import Path

import pytest

import perso_core as pc
from files import make_records

FOLDER = Path(__file__).parent / "files" / "records"
LINES = [json.loads(line) for line in (FOLDER / "records.jsonl").read_text(encoding="utf-8").splitlines()]
NAMES = [line["case"] for line in LINES]

# What records have had since: of these alone may a new record of the same request differ from an old one.
# A content hash is one over facts since format version 3.
SINCE = {"source", "content_hash", "digest"}


@pytest.fixture(scope="module")
def held():
    opened = {name: pc.Catalog.open(FOLDER / f"{name}.catalog") for name in ("int", "str")}
    return {**make_records.sources(), **opened}


@pytest.fixture(scope="module")
def made():
    return list(make_records.slates(make_records.sources()))


def test_every_kind_is_there():
    assert len(set(NAMES)) == len(NAMES) == len(list(make_records.cases()))
    policies = [line["record"]["policy"] for line in LINES]
    assert {(p["diversity"] or {}).get("kind") for p in policies} == {
        None,
        "mmr",
        "dpp",
        "spread",
        "calibrated",
    }
    explorers = {"epsilon_greedy", "softmax", "plackett_luce", "thompson_sampling", "ucb"}
    assert {(p["explore"] or {}).get("kind") for p in policies} == {None, *explorers}
    assert {line["record"]["path"] for line in LINES} == {"exact", "attributes", "given"}
    choices = [choice for line in LINES for choice in line["record"]["choices"]]
    assert {choice.get("propensity_kind") for choice in choices} == {None, "monte_carlo"}
    assert any(choice["explored"] for choice in choices)
    assert any(len(line["record"]["pool"]) > 1 for line in LINES), "a pool was deepened"
    assert any(line["record"]["short_reason"] for line in LINES)
    assert {line["record"]["user"] is None for line in LINES} == {True, False}


@pytest.mark.parametrize("i", range(len(LINES)), ids=NAMES)
def test_an_old_record_replays_and_is_written_again_as_it_was(held, i):
    line, (name, _, user, *_, hashed) = LINES[i], list(make_records.cases())[i]
    assert line["case"] == name
    again = pc.replay(line["record"], held[line["source"]], user if hashed else None)
    # All of it, and so the digest.
    assert again.record(user=not hashed) == line["record"]
    assert pc.Policy.from_json(json.dumps(line["record"]["policy"])).hash == line["record"]["policy_hash"]


@pytest.mark.parametrize("i", range(len(LINES)), ids=NAMES)
def test_the_same_request_gives_the_same_record_today(made, i):
    line, (name, _, slate, hashed) = LINES[i], made[i]
    record = slate.record(user=not hashed)
    assert line["case"] == name and record.keys() - line["record"].keys() <= SINCE

    def kept(document):
        return {key: value for key, value in document.items() if key not in SINCE}

    assert kept(record) == kept(line["record"])
