"""`perso-core`: files in, tables and JSON lines out, and errors in one line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import perso_core as pc
from perso_core.cli import main

N, DIM = 60, 8
VECTORS = np.random.default_rng(1).normal(size=(N, DIM)).astype(np.float32)
IDS = [f"i{i}" for i in range(N)]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    table = pa.table(
        {
            "sku": IDS,
            "embedding": pa.FixedSizeListArray.from_arrays(VECTORS.ravel(), DIM),
            "cf": pa.array(VECTORS[:, :4].tolist(), pa.list_(pa.float64())),
            "genre": [["a", "b"], ["c"], None] * (N // 3),
            "price": np.linspace(0, 1, N),
            "when": np.datetime64("2026-01-01T00:00:00") + np.arange(N).astype("m8[D]"),
        }
    )
    pa.parquet.write_table(table, "items.parquet")
    pa.feather.write_feather(table, "items.feather")
    np.save("items.npy", VECTORS)
    np.save("user.npy", VECTORS[0])
    np.save("users.npy", VECTORS[:3])
    return folder


class Done:
    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def call(*argv: str, status: int = 0) -> Done:
        try:
            found = main(argv)
        except SystemExit as ended:
            found = ended.code if isinstance(ended.code, int) else 1
        out, err = capsys.readouterr()
        assert found == status, err
        return Done(found, out, err)

    return call


@pytest.fixture
def catalog(here: Path, run: Any) -> str:
    run("build", "items.parquet", "--id", "sku", "--space", "content=embedding", "--space", "cf=cf",
        "--metric", "cf=ip", "--dtype", "content=f16", "-o", "items.pcat", "--no-progress")  # fmt: skip
    return "items.pcat"


# --- build, info -----------------------------------------------------------------------------------


def test_build_from_parquet(catalog: str) -> None:
    opened = pc.Catalog.open(catalog)
    assert opened.ids.tolist() == IDS
    assert opened.spaces == {"content": pc.Space(DIM, "cosine", "f16"), "cf": pc.Space(4, "ip", "f32")}
    assert opened.attributes == {"genre": "list[str]", "price": "float", "when": "timestamp"}
    np.testing.assert_array_equal(opened.get(["i3"])[0]["vectors"]["cf"], VECTORS[3, :4])


@pytest.mark.usefixtures("here")
def test_build_from_an_arrow_file_with_chosen_attributes(run: Any) -> None:
    run("build", "items.feather", "--id", "sku", "--space", "content=embedding", "--attributes", "price",
        "-o", "x.pcat")  # fmt: skip
    opened = pc.Catalog.open("x.pcat")
    assert opened.attributes == {"price": "float"}
    assert len(opened) == N


@pytest.mark.usefixtures("here")
def test_build_from_npy(run: Any) -> None:
    Path("ids.txt").write_text("\n".join(IDS))
    run("build", "items.npy", "--ids", "ids.txt", "--space", "text", "--metric", "l2", "-o", "x.pcat")
    opened = pc.Catalog.open("x.pcat")
    assert opened.spaces == {"text": pc.Space(DIM, "l2")}
    assert opened.ids.tolist() == IDS
    run("build", "items.npy", "-o", "y.pcat")
    assert pc.Catalog.open("y.pcat").ids.tolist() == list(range(N))


def test_build_tells_progress_on_standard_error(here: Path, run: Any) -> None:
    done = run("build", "items.npy", "-o", "x.pcat")
    assert "saving" in done.err
    assert "saving" not in done.out
    assert run("build", "items.npy", "-o", "x.pcat", "--no-progress").err == ""


def test_layouts_and_finer_copies_are_chosen_by_space(here: Path, run: Any) -> None:
    run("build", "items.parquet", "--id", "sku", "--space", "content=embedding", "--space", "cf=cf",
        "--dtype", "i8", "--layout", "exact", "--layout", "cf=compact", "--rescore", "cf=f16",
        "-o", "fine.pcat", "--no-progress")  # fmt: skip
    spaces = json.loads(run("info", "fine.pcat", "--json").out)["spaces"]
    assert (spaces["content"]["layout_asked"], spaces["content"]["rescore"]) == ("exact", None)
    assert (spaces["cf"]["layout_asked"], spaces["cf"]["rescore"]) == ("compact", "f16")
    assert spaces["cf"]["layout"] == "exact", "too few items for a graph"
    assert "rescore f16" in run("info", "fine.pcat").out
    refused = run("build", "items.npy", "--layout", "tree", "-o", "x", status=1)
    assert "layout: expected one of 'auto', 'exact', 'compact', 'local', got 'tree'" in refused.err


def test_info(catalog: str, run: Any) -> None:
    facts = json.loads(run("info", catalog, "--json").out)
    opened = pc.Catalog.open(catalog)
    assert facts["items"] == N
    assert facts["content_hash"] == opened.content_hash
    assert facts["spaces"]["content"]["dtype"] == "f16"
    assert facts["file_bytes"] == Path(catalog).stat().st_size
    text = run("info", catalog).out
    assert opened.content_hash in text
    assert "list[str]" in text


# --- search ----------------------------------------------------------------------------------------


def test_search_is_the_library_search(catalog: str, run: Any) -> None:
    page = ("search", catalog, "--queries", "users.npy", "--space", "content")
    lines = run(*page, "-k", "4", "--format", "jsonl").lines
    hits = pc.Catalog.open(catalog).search(VECTORS[:3], 4, "content")
    assert [line["ids"] for line in lines] == hits.ids.tolist()
    assert [line["scores"] for line in lines] == hits.scores.tolist()


def test_search_by_item_leaves_the_item_out(catalog: str, run: Any) -> None:
    page = ("search", catalog, "--item", "i5", "--space", "content")
    (line,) = run(*page, "-k", str(N), "--format", "jsonl").lines
    assert sorted(line["ids"]) == sorted(set(IDS) - {"i5"})
    assert "i5" not in run(*page, "-k", "3").out.split()


def test_search_within_and_without(catalog: str, run: Any) -> None:
    Path("seen.txt").write_text("i1\ni2\n")
    (line,) = run("search", catalog, "--queries", "user.npy", "--space", "content", "--where", "i1,i3,i4",
                  "--exclude", "@seen.txt", "--format", "jsonl").lines  # fmt: skip
    assert set(line["ids"]) == {"i3", "i4"}


# --- rank ------------------------------------------------------------------------------------------


def test_rank_is_the_library_rank(catalog: str, run: Any) -> None:
    policy = pc.Policy(
        candidates=40,
        score=pc.Blend({"content": 1.0}, price=0.1, fresh=pc.Decay("when", "30d", 0.2)),
        diversity=pc.MMR(0.2),
        caps={"genre": 2},
        explore=pc.EpsilonGreedy(0.5),
    )
    Path("policy.json").write_text(policy.to_json())
    who = ("--user", "content=user.npy", "--exclude", "i0,i1", "--request-id", "r", "--seed", "9")
    what = ("--policy", "policy.json", "-k", "5", "--at", "2026-03-01T00:00:00Z")
    (line,) = run("rank", catalog, *who, *what, "--format", "jsonl", "--records", "records.jsonl").lines
    opened = pc.Catalog.open(catalog)
    slate = pc.rank(
        opened, VECTORS[0], policy, 5, exclude=["i0", "i1"], at="2026-03-01T00:00:00Z", seed=9, request_id="r"
    )
    assert [item["id"] for item in line["items"]] == slate.ids.tolist()
    assert [item["score"] for item in line["items"]] == slate.scores.tolist()
    assert [item["propensity"] for item in line["items"]] == slate.propensities.tolist()
    assert line["items"][0]["terms"] == slate[0].terms
    assert pc.replay(Path("records.jsonl").read_text(), opened) == slate


@pytest.mark.usefixtures("here")
def test_rank_many_users(run: Any) -> None:
    run("build", "items.npy", "-o", "x.pcat", "--no-progress")
    lines = run("rank", "x.pcat", "--user", "users.npy", "-k", "3", "--request-id", "r", "--exclude", "4",
                "--format", "jsonl").lines  # fmt: skip
    assert [line["request_id"] for line in lines] == ["r-0", "r-1", "r-2"]
    assert [line["items"][0]["id"] for line in lines] == [0, 1, 2]


@pytest.mark.usefixtures("here")
def test_rank_requests_from_standard_input(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    run("build", "items.npy", "-o", "x.pcat", "--no-progress")
    requests = [
        {"request_id": "a", "user": VECTORS[7].tolist(), "exclude": [1]},
        {"request_id": "b", "user": None, "exclude": [0]},
    ]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(map(json.dumps, requests)) + "\n\n"))
    a, b = run("rank", "x.pcat", "--requests", "-", "-k", "2", "--format", "jsonl").lines
    assert (a["request_id"], a["items"][0]["id"]) == ("a", 7)
    assert (b["request_id"], b["path"]) == ("b", "attributes")
    assert 0 not in [item["id"] for item in b["items"]]


def test_rank_like_an_item(catalog: str, run: Any) -> None:
    policy = pc.Policy(score=pc.Blend({"content": 1.0, "cf": 1.0}))
    Path("policy.json").write_text(policy.to_json())
    page = ("rank", catalog, "--item", "i7", "--policy", "policy.json", "-k", "3")
    (line,) = run(*page, "--format", "jsonl").lines
    assert "i7" not in [item["id"] for item in line["items"]]
    assert set(line["items"][0]["terms"]) == {"similarity.content", "similarity.cf"}
    assert "similarity.cf" in run(*page).out


# --- errors ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "status", "said"),
    [
        ([], 2, "COMMAND"),
        (["fly"], 2, "fly"),
        (["search", "{catalog}"], 2, "--queries --item"),
        (["build", "items.npy", "--id", "x", "-o", "z"], 2, "--ids FILE"),
        (["build", "items.parquet", "--space", "a=embedding", "-o", "z"], 2, "--id COLUMN"),
        (["build", "items.parquet", "--id", "sku", "-o", "z"], 2, "--space NAME=COLUMN"),
        (["build", "items.npy", "--metric", "b=ip", "-o", "z"], 2, "no --space b"),
        (["build", "items.npy", "--metric", "dot", "-o", "z"], 1, "'cosine'"),
        (["build", "items.parquet", "--id", "nope", "--space", "a=embedding", "-o", "z"], 1, '"nope"'),
        (["build", "items.parquet", "--id", "sku", "--space", "a=price", "-o", "z"], 1, "price"),
        (["build", "missing.parquet", "--id", "x", "--space", "a=b", "-o", "z"], 1, "missing.parquet"),
        (["info", "missing.pcat"], 1, "missing.pcat"),
        (["info", "items.parquet"], 1, "items.parquet"),
        (["search", "{catalog}", "--item", "nobody", "--space", "cf"], 1, "nobody"),
        (["search", "{catalog}", "--item", "i1"], 1, "--space"),
        (["search", "{catalog}", "--queries", "items.parquet"], 1, "items.parquet"),
        (["search", "{catalog}", "--queries", "user.npy", "--space", "cf"], 1, "4"),
        (["rank", "{catalog}", "--policy", "items.npy"], 1, ""),
        (["rank", "{catalog}", "-k", "0"], 1, "k: expected"),
        (["rank", "{catalog}", "--at", "yesterday"], 1, "at: expected"),
        (["rank", "{catalog}", "--user", "user.npy", "--item", "i1"], 2, "not allowed with"),
        (["rank", "{catalog}", "--user", "a=user.npy", "--user", "user.npy"], 2, "SPACE=FILE"),
    ],
)
def test_errors_are_one_line_that_says_what(
    argv: list[str], status: int, said: str, catalog: str, run: Any
) -> None:
    done = run(*[arg.format(catalog=catalog) for arg in argv], status=status)
    assert said in done.err
    assert "Traceback" not in done.err
    assert done.out == ""
    if status == 1:
        assert len(done.err.strip().splitlines()) == 1
        assert done.err.startswith("perso-core ")


def test_a_bad_request_line_is_named(catalog: str, run: Any) -> None:
    Path("requests.jsonl").write_text('{"user": null}\n{"usr": null}\n')
    done = run("rank", catalog, "--requests", "requests.jsonl", status=1)
    assert "line 2" in done.err
    assert "usr" in done.err


# --- help ------------------------------------------------------------------------------------------


def test_help_shows_commands_and_examples(run: Any) -> None:
    text = run("--help").out
    for command in ("demo", "build", "info", "search", "rank"):
        assert f"\n  {command} " in text
        page = run(command, "--help").out
        assert page.startswith(f"usage: perso-core {command}")
    assert "examples:" in text


def test_the_module_is_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "perso_core", "--version"], capture_output=True, text=True, check=True
    )
    assert run.stdout == f"perso-core {pc.__version__}\n"
