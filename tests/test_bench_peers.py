"""`make bench-peers`: its data, its figures, its reports, and what it does when a peer breaks."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench import data  # noqa: E402
from bench.peers import cli, install, libs, markdown, page, plot, results, sets  # noqa: E402
from bench.peers import run as running  # noqa: E402
from bench.peers.client import Client, Failed  # noqa: E402


@pytest.fixture(autouse=True)
def answers_kept_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "CACHE", tmp_path / "truth")


def load(path: Path, **more) -> sets.Set:
    return sets.load(sets.Source(path, **more), max_queries=more.pop("max_queries", 50))


def same_rows(found: np.ndarray, given: np.ndarray) -> bool:
    """The same vectors in any order."""
    return sorted(map(tuple, found.tolist())) == sorted(map(tuple, given.tolist()))


# Data.


def test_npy_with_queries(tmp_path, rng):
    items, queries = rng.normal(size=(200, 7)), rng.normal(size=(20, 7)).astype(np.float16)
    np.save(tmp_path / "x.npy", items)
    np.save(tmp_path / "q.npy", queries)
    one = load(tmp_path / "x.npy", queries=tmp_path / "q.npy", metric="ip", name="mine")
    assert (one.name, one.vectors.metric) == ("mine", "ip")
    assert one.vectors.items.dtype == one.vectors.queries.dtype == np.float32
    assert same_rows(one.vectors.items, items.astype(np.float32))
    assert not np.array_equal(one.vectors.items, items.astype(np.float32)), "items come shuffled"
    assert np.array_equal(one.vectors.queries, queries.astype(np.float32))


def test_without_queries_some_items_are_held_out(tmp_path, rng):
    items = rng.normal(size=(200, 7)).astype(np.float32)
    np.save(tmp_path / "x.npy", items)
    one = load(tmp_path / "x.npy", metric="l2")
    assert (len(one.vectors), len(one.vectors.queries)) == (150, 50)
    assert same_rows(np.vstack([one.vectors.items, one.vectors.queries]), items)
    assert "held out" in one.queries_from


@pytest.mark.parametrize("fixed", [False, True])
def test_parquet(tmp_path, rng, fixed):
    items = rng.normal(size=(60, 5)).astype(np.float32)
    kind = pa.list_(pa.float32(), 5) if fixed else pa.list_(pa.float32())
    table = pa.table({"id": list(range(60)), "v": pa.array(items.tolist(), kind)})
    pq.write_table(table, tmp_path / "x.parquet")
    assert same_rows(sets.vectors_of("--items", tmp_path / "x.parquet"), items)


def hdf5(path: Path, **content) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if name == "distance":
                file.attrs[name] = value
            else:
                file[name] = value
    return path


def test_hdf5_and_the_neighbours_it_names(tmp_path, rng):
    train, test = rng.normal(size=(300, 6)).astype(np.float32), rng.normal(size=(80, 6)).astype(np.float32)
    distances = ((test[:, None] - train[None]) ** 2).sum(axis=2)
    near = np.argsort(distances, axis=1)[:, :10]
    path = hdf5(tmp_path / "x.hdf5", train=train, test=test, neighbors=near, distance="euclidean")
    one = load(path)
    assert (one.vectors.metric, len(one.vectors.queries)) == ("l2", 50)
    assert same_rows(one.vectors.items, train)
    # Rows of the file became rows of the shuffled items, of the queries that were picked.
    assert one.neighbours is not None
    assert one.vectors.recall(one.neighbours) == 1.0
    assert one.vectors.recall((one.neighbours + 1) % 300) < 0.5
    assert load(path, metric="ip").neighbours is None


def bad_files(tmp_path: Path) -> dict[str, tuple[Path, dict, str]]:
    def npy(name, array):
        np.save(tmp_path / name, array)
        return tmp_path / name

    def parquet(name, **columns):
        pq.write_table(pa.table(columns), tmp_path / name)
        return tmp_path / name

    (tmp_path / "junk.npy").write_bytes(b"not an array")
    (tmp_path / "junk.parquet").write_bytes(b"not a table")
    (tmp_path / "x.csv").write_text("1,2\n")
    good = npy("good.npy", np.ones((30, 4)))
    nan = np.ones((30, 4))
    nan[7, 2] = np.nan
    two = {"a": [[1.0, 2.0]], "b": [[1.0, 2.0]]}
    return {
        "no file": (tmp_path / "none.npy", {}, "--items: expected a file"),
        "no metric": (good, {"metric": None}, "does not say its metric"),
        "unknown metric": (good, {"metric": "hamming"}, "got 'hamming'"),
        "suffix": (tmp_path / "x.csv", {}, r"expected a \.npy, \.parquet or \.hdf5"),
        "junk npy": (tmp_path / "junk.npy", {}, r"--items: .*junk\.npy"),
        "junk parquet": (tmp_path / "junk.parquet", {}, r"--items: .*junk\.parquet"),
        "one dimension": (npy("flat.npy", np.ones(9)), {}, r"shape \(9,\)"),
        "no rows": (npy("none-there.npy", np.ones((0, 4))), {}, r"shape \(0, 4\)"),
        "text": (npy("text.npy", np.array([["a", "b"]])), {}, "expected numbers, got dtype <U1"),
        "nan": (npy("nan.npy", nan), {}, "NaN or infinity in row 7"),
        "dims": (
            good,
            {"queries": npy("q.npy", np.ones((3, 5)))},
            "--queries: expected 4 dimensions.* got 5",
        ),
        "two columns": (parquet("two.parquet", **two), {}, "--column: .* 2 columns of lists"),
        "no such column": (parquet("2.parquet", **two), {"column": "c"}, "got 'c'"),
        "no column": (parquet("id.parquet", id=[1]), {}, "--column: .* 0 columns"),
        "ragged": (parquet("ragged.parquet", v=[[1.0], [1.0, 2.0], [1.0, 2.0, 3.0]]), {}, "one length"),
        "row missing": (parquet("null.parquet", v=[[1.0], None]), {}, "rows without a vector"),
        "number missing": (parquet("hole.parquet", v=[[1.0, None]]), {}, "missing numbers"),
    }


BAD = (
    "no file", "no metric", "unknown metric", "suffix", "junk npy", "junk parquet", "one dimension", "no rows",
    "text", "nan", "dims", "two columns", "no such column", "no column", "ragged", "row missing", "number missing",
)  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_wrong_files_are_named(tmp_path, case):
    cases = bad_files(tmp_path)
    assert set(cases) == set(BAD)
    path, more, said = cases[case]
    with pytest.raises(sets.BadData, match=said):
        load(path, **({"metric": "cosine"} | more))


def test_wrong_hdf5_files_are_named(tmp_path, rng):
    some = rng.normal(size=(20, 3))
    for name, content, said in (
        ("a", {"train": some}, "'test' is missing"),
        ("b", {"train": some, "test": some, "distance": "jaccard"}, "got 'jaccard'"),
        (
            "c",
            {"train": some, "test": some, "distance": "angular", "neighbors": some * 0 + 20},
            "'neighbors'",
        ),
        ("d", {"train": some, "test": some}, "does not say its metric"),
    ):
        with pytest.raises(sets.BadData, match=said):
            load(hdf5(tmp_path / f"{name}.hdf5", **content))
    (tmp_path / "junk.hdf5").write_bytes(b"junk")
    with pytest.raises(sets.BadData, match=r"junk\.hdf5"):
        load(tmp_path / "junk.hdf5")


def test_made_sets_can_be_small():
    both = sets.generated(20, 2000)
    assert [(len(s.vectors), s.vectors.metric, len(s.vectors.queries)) for s in both] == [
        (2000, "cosine", 20),
        (2000, "ip", 20),
    ]


def test_libraries_get_unit_vectors_under_the_cosine(rng):
    items = rng.normal(size=(30, 4)).astype(np.float32) * 5
    items[3] = 0
    given = sets.Set(data.Vectors("x", "cosine", items, items[:5]), "", "")
    norms = np.linalg.norm(given.prepared()[0], axis=1)
    assert norms[3] == 0
    assert np.allclose(np.delete(norms, 3), 1, atol=1e-6)


# Recall.


@pytest.mark.parametrize("metric", sets.METRICS)
def test_exact_answers(rng, metric):
    items, queries = rng.normal(size=(400, 9)).astype(np.float32), rng.normal(size=(15, 9)).astype(np.float32)
    items += 100 * (metric == "l2")  # norms far above distances
    queries += 100 * (metric == "l2")
    fine = items.astype(np.float64), queries.astype(np.float64)
    scores = {
        "ip": fine[1] @ fine[0].T,
        "cosine": sets.unit(fine[1]) @ sets.unit(fine[0]).T,
        "l2": -((fine[1][:, None] - fine[0][None]) ** 2).sum(axis=2),
    }[metric]
    vectors = data.Vectors("x", metric, items, queries)
    best = np.argsort(-scores, axis=1)
    assert vectors.recall(best[:, :10]) == 1.0
    assert vectors.recall(best[:, 10:20]) == 0.0
    assert vectors.recall(np.hstack([best[:, :7], best[:, 200:203]])) == pytest.approx(0.7)
    # Some queries only.
    assert vectors.recall(best[:4, :10]) == 1.0


def test_whatever_ties_is_right_but_only_once():
    items = np.repeat(np.eye(4, dtype=np.float32), 5, axis=0)
    vectors = data.Vectors("x", "ip", items, np.eye(4, dtype=np.float32)[:1])
    assert vectors.recall(np.array([[1, 3]])) == vectors.recall(np.array([[4, 0]])) == 1.0
    assert vectors.recall(np.array([[2, 2]])) == 0.5
    assert vectors.recall(np.array([[2, 5]])) == 0.5
    assert vectors.recall(np.array([[-1, -1]])) == 0.0


def test_zero_vectors_have_a_score_under_the_cosine():
    items = np.array([[0, 0], [1, 0], [-1, 0]], dtype=np.float32)
    vectors = data.Vectors("x", "cosine", items, np.array([[2, 0]], dtype=np.float32))
    assert vectors.recall(np.array([[1, 0]])) == 1.0
    assert vectors.recall(np.array([[1, 2]])) == 0.5


# Figures and reports, from a fixed set of results.


def setting(recall: float, wall: float, value: int | None = 10, batch: bool = False) -> dict:
    """Of 1,000 queries; the second pass was disturbed."""
    passes = [
        {"wall_s": w, "cpu_s": w, "count": 1000, "p50_us": 900 * w, "p99_us": 2000 * w}
        for w in (wall, 2 * wall)
    ]
    label = libs.label_of({} if value is None else {"ef": value}, batch)
    return {"label": label, "setting": {}, "curve": "", "value": value, "batch": batch, "k": 10, "recall": recall,
            "recall_queries": 1000, "recall_cpu_s": wall, "s_a_query": wall / 1000, "passes": passes}  # fmt: skip


def engine(key: str, family: str, settings: list[dict], mb: float = 100.0, **more) -> dict:
    kind, config = libs.BY_KEY[key]
    built = {"wall_s": mb / 10, "cpu_s": mb / 5, "threads": 2, "mb": mb, "peak_mb": mb + 50}
    return {"key": key, "label": config.label, "library": kind.library, "family": family, "ours": family == "ours",
            "options": {}, "status": "ok", "version": "1.2.3", "build": built, "settings": settings} | more  # fmt: skip


@pytest.fixture
def document() -> dict:
    engines = [
        engine("ours-compact", "ours", [setting(0.93, 0.1), setting(0.96, 0.125, 20)], mb=40),
        engine("hnswlib-16", "hnsw", [setting(0.91, 0.25), setting(0.9989, 1.0, 90)], mb=160),
        engine("usearch-f16", "hnsw", [setting(0.8996, 0.5)]),
        engine("rabitqlib-200", "local codes", [setting(0.97, 0.2)], mb=400),
        engine("faiss-flat", "exact", [setting(1.0, 20.0, None), setting(1.0, 4.0, None, batch=True)]),
        engine("scann", "partitions", [], status="failed", reason="needs <AVX> | no", build=None),
    ]
    return {
        "schema": 1,
        "command": "python -m bench.peers --items <x>.npy",
        "options": {"ks": [10], "targets": [0.9, 0.95, 0.99], "threads": 2, "rounds": 2, "pass_seconds": 0.5},
        "machine": {"date": "2026-01-02 03:04 UTC", "cpu": "A CPU & more", "flags": ["avx2"], "cores": 2,
                    "memory_gib": 8, "system": "Linux", "huge_pages": "madvise", "load_at_start": 0.1,
                    "load_at_end": 0.2, "isa": "avx2", "commit": "abc", "versions": {"python": "3.12"}},
        "sets": [{"name": "s<1>", "source": "x.npy", "queries_from": "q.npy", "metric": "cosine", "n": 100_000,
                  "dim": 384, "queries": 1000, "engines": engines, "file_neighbours_recall": 0.9997}],
        "complete": True,
    }  # fmt: skip


def test_the_fastest_setting_that_reaches_a_recall(document):
    ours, hnswlib, usearch = document["sets"][0]["engines"][:3]
    found = results.at(ours, 10, 0.95)
    assert found is not None
    assert (found.label, found.qps, found.p99_us) == ("ef=20", 8000, 250)
    assert results.at(ours, 10, 0.90).qps == 10_000  # type: ignore[union-attr]
    assert results.at(ours, 10, 0.99) is None
    assert results.at(hnswlib, 10, 0.95).qps == 1000  # type: ignore[union-attr]
    assert results.at(usearch, 10, 0.90) is None, ".8996 is not .90"


def test_ratios(document):
    engines = document["sets"][0]["engines"]
    (of_hnsw,) = results.ratios(engines, 10, 0.95, "hnsw")
    (of_all,) = results.ratios(engines, 10, 0.95)
    assert (of_hnsw.ratio, of_hnsw.peer) == (8.0, "hnswlib M=16")
    assert of_all.peer == "rabitqlib SymqgIndex 32"
    assert of_all.ratio == pytest.approx(1.6)
    assert results.ratios(engines, 10, 0.99) == []


def test_pareto():
    def p(recall, qps):
        return results.Point("", recall, qps, None, None, 1.0)

    best = [p(0.8, 90.0), p(0.9, 50.0), p(0.99, 10.0)]
    worse = [p(0.8, 80.0), p(0.85, 50.0), p(0.9, 40.0)]
    assert results.pareto(best + worse) == best
    assert results.pareto([]) == []


@pytest.mark.parametrize(
    ("recall", "said"), [(0.9896, ".989"), (0.99, ".990"), (0.9999, ".999"), (1.0, "1.000"), (0.0, ".000")]
)
def test_recalls_are_not_rounded_up(recall, said):
    assert markdown.down(recall) == said


def test_the_markdown_report(document):
    text = markdown.render(document)
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    by_name = {row[0]: row for row in rows}
    assert rows[0][:8] == ["index", "build s", "CPU s", "MB", "peak MB", "QPS @.90", "QPS @.95", "QPS @.99"]
    assert by_name["**perso_core i8 compact**"][1:8] == [
        "4.0", "8.0", "40", "90", "10,000", "8,000", "never (best .960)",
    ]  # fmt: skip
    assert by_name["usearch f16 M=16"][5] == "never (best .899)"
    assert by_name["hnswlib M=16"][8] == "225 / 500"
    assert by_name["faiss Flat (exact)"] == ["faiss Flat (exact)", "1.000", "250"]  # the batch's own table
    assert "s<1>: **ScaNN**: needs <AVX> | no" in text, "a peer that did not run is named"
    beside = dict(zip(*[r for r in rows if r[0] in ("ours / peer", "perso_core i8 compact")], strict=True))
    assert beside["HNSW kind @.90"] == "2.50x" and beside["HNSW kind @.95"] == "8.00x"
    assert (beside["HNSW kind @.99"], beside["rabitqlib @.99"]) == ("", ""), "it has not got there"
    assert (beside["any peer @.95"], beside["MB, hnswlib"], beside["MB, rabitqlib"]) == (
        "1.60x",
        "0.25x",
        "0.10x",
    )
    assert "at .95 hnswlib M=16 (1,000)" in text
    assert "**rabitqlib**: the fastest of rabitqlib: at .90 rabitqlib SymqgIndex 32 (5,000)" in text
    assert "at .99 none reaches it" in text
    assert "reach recall 0.9997" in text
    assert "More than one thread" not in text


def test_a_search_on_several_threads_is_told(document):
    for one in document["sets"][0]["engines"][1]["settings"][0]["passes"]:
        one["cpu_s"] = 1.9 * one["wall_s"]
    assert "**More than one thread** worked in searches of: hnswlib M=16." in markdown.render(document)


def test_a_busy_machine_is_told(document):
    assert "The machine was busy" not in markdown.render(document)
    for one in document["sets"][0]["engines"][0]["settings"][0]["passes"]:
        one["cpu_s"] = 0.5 * one["wall_s"]
    assert "**The machine was busy**: in 1 of 8 settings" in markdown.render(document)


def test_where_no_peer_gets_ours_stands_alone(document):
    engines = [e for e in document["sets"][0]["engines"] if e["key"] in ("ours-compact", "usearch-f16")]
    head, body = markdown.beside(document["sets"][0] | {"engines": engines}, document["options"], 10)
    found = dict(zip(head, body[0], strict=True))
    assert (found["any peer @.95"], found["rabitqlib @.95"]) == ("alone", ""), (
        "rabitqlib was not there to reach it"
    )
    said = markdown.leaders(document["sets"][0] | {"engines": engines}, document["options"], 10)
    assert "**rabitqlib**: rabitqlib did not run." in said


def test_the_page_is_whole_and_fetches_nothing(document):
    text = page.render(document)
    assert not re.search(r"(https?:)?//[a-z]|@import|url\(|<link|src=", text)
    assert "s&lt;1&gt;" in text and "s<1>" not in text
    assert "needs &lt;AVX&gt; | no" in text
    drawings = [ET.fromstring(one) for one in re.findall(r"<svg.*?</svg>", text, re.S)]
    assert len(drawings) == 3
    curves = [g for g in drawings[0].iter("g") if g.get("class", "").startswith("series")]
    assert {g.get("data-key") for g in curves} == {"ours-compact", "hnswlib-16", "usearch-f16", "rabitqlib-200", "faiss-flat"}  # fmt: skip
    (ours,) = [g for g in curves if "ours" in g.get("class", "")]
    told = [t.text for t in ours.iter("title")]
    assert told == [
        "perso_core i8 compact, ef=10: recall 0.9300, 10,000 queries a second",
        "perso_core i8 compact, ef=20: recall 0.9600, 8,000 queries a second",
    ]
    xs = [float(c.get("cx")) for c in ours.iter("circle")]
    ys = [float(c.get("cy")) for c in ours.iter("circle")]
    assert xs[0] < xs[1] and ys[0] < ys[1], "recall grows to the right, the rate upwards"
    names = [t.text for t in drawings[1].iter("text")]
    assert names[::2][0] == "perso_core i8 compact", "the least memory first"
    # Each class of colour that is used has its colour in both grounds.
    for library in {e["library"] for e in document["sets"][0]["engines"]}:
        variable = "ours" if library == "perso_core" else library
        assert text.count(f"--{variable}: #") == 2
        assert f".lib-{library} {{" in text


def test_labels_do_not_meet():
    point = results.Point("", 0.95, 1000.0, None, None, 1.0)
    many = [plot.Series(f"s{i}", f"s{i}", "faiss", False, i, [point]) for i in range(20)]
    drawn = ET.fromstring(plot.curves(many, [0.95]))
    labels = [g for g in drawn.iter("g") if g.get("class", "").startswith("label")]
    heights = sorted(float(g.find("text").get("y")) for g in labels)  # type: ignore[union-attr, arg-type]
    assert len(heights) == 20
    assert min(np.diff(heights)) >= plot.LINE - 0.1
    assert heights[0] > 0 and heights[-1] < plot.HEIGHT


def test_reports_of_an_empty_run(document):
    document["sets"][0]["engines"] = document["sets"][0]["engines"][-1:]
    document["complete"] = False
    assert "did not come to its end" in markdown.render(document)
    assert "did not come to its end" in page.render(document)


# Peers that break.


def test_what_could_not_be_installed_is_written_down(tmp_path, capsys):
    notes = tmp_path / "notes.json"

    def attempt(requirement: str) -> str | None:
        return "no wheel for this Python" if requirement.startswith("b") else None

    install.install({"a": "a-lib>=1", "b": "b-lib>=2"}, attempt, notes)
    assert install.failures(notes) == {"b": "b-lib>=2: no wheel for this Python"}
    assert "b-lib>=2: FAILED: no wheel" in capsys.readouterr().out
    install.install({"b": "b-lib>=2"}, lambda _: None, notes)
    assert install.failures(notes) == {}
    assert install.failures(tmp_path / "none.json") == {}


def test_the_reason_out_of_pips_words():
    said = "WARNING: x\nERROR: Could not find a version\nERROR: No matching distribution found for scann\n\n"
    assert install.reason(said) == "No matching distribution found for scann"
    assert install.reason("") == "pip said nothing"


def test_every_peer_has_what_installs_it():
    assert set(install.requirements()) == {"hnswlib", "faiss", "usearch", "scann", "rabitqlib", "svs"}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import time; time.sleep(60)", "build took longer than 0.5 s"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("raise ImportError('no such thing')", "exit status 1: ImportError: no such thing"),
        ('print(\'{"error": "ValueError: bad"}\', flush=True); input()', "ValueError: bad"),
    ],
)
def test_how_a_worker_ended(tmp_path, script, said):
    client = Client(tmp_path / "log", 1, (sys.executable, "-S", "-c", script))
    patience = 0.5 if "longer" in said else 30.0
    with pytest.raises(Failed, match=re.escape(said)):
        client.ask("build", patience)
    assert client.process.poll() is not None


# All of it, small.


@pytest.fixture
def small(tmp_path, rng, monkeypatch) -> list[str]:
    monkeypatch.setattr(running.machine, "load", lambda: 0.0)
    np.save(tmp_path / "x.npy", rng.normal(size=(600, 16)).astype(np.float16))
    return ["--items", str(tmp_path / "x.npy"), "--metric", "cosine", "--max-queries", "20", "--rounds", "2",
            "--threads", "1", "--out", str(tmp_path / "out")]  # fmt: skip


def results_of(argv: list[str]) -> dict:
    return json.loads((Path(argv[-1]) / "results.json").read_text())


def test_a_run(small, capsys):
    assert cli.main([*small[:-2], "--ours", "ours-auto", "--peers", "numpy-exact", *small[-2:]]) == 0
    document = results_of(small)
    assert document["complete"]
    (one,) = document["sets"]
    assert (one["n"], one["dim"], one["queries"], one["metric"]) == (580, 16, 20, "cosine")
    by_key = {e["key"]: e for e in one["engines"]}
    assert [e["status"] for e in one["engines"]] == ["ok", "ok"]
    for found in by_key.values():
        assert found["build"]["threads"] == 1
        assert all(s["passes"] for s in found["settings"])
        # 580 vectors are few: both scan.
        assert results.best_recall(found, 10) == 1.0
    exact = {s["batch"]: s for s in by_key["numpy-exact"]["settings"]}
    assert [len(exact[batch]["passes"]) for batch in (False, True)] == [2, 2]
    printed = capsys.readouterr().out
    assert "perso_core, no knob" in printed and "NumPy exact" in printed
    assert {p.name for p in Path(small[-1]).iterdir()} == {"results.json", "report.md", "report.html", "logs"}


def test_what_cannot_run_is_named_and_the_rest_runs(small, monkeypatch):
    monkeypatch.setattr(install, "failures", lambda: {"hnswlib": "hnswlib>=0.8: no compiler"})
    kind = libs.BY_KEY["ours-compact"][0]
    odd = libs.Config("ours-odd", "perso_core odd", {"layout": "compact", "no_such": 1})
    assert kind.configs
    monkeypatch.setitem(libs.BY_KEY, "ours-odd", (kind, odd))
    argv = [*small[:-2], "--ours", "ours-odd", "--peers", "hnswlib,numpy", *small[-2:]]
    assert cli.main(argv) == 0
    by_key = {e["key"]: e for e in results_of(small)["sets"][0]["engines"]}
    assert by_key["numpy-exact"]["status"] == "ok"
    assert by_key["hnswlib-16"]["reason"] == "could not be installed: hnswlib>=0.8: no compiler"
    # The worker does not know the configuration, which only this process has.
    assert "ours-odd" in by_key["ours-odd"]["reason"]
    text = (Path(small[-1]) / "report.md").read_text()
    assert "**hnswlib M=16**: could not be installed" in text


def test_a_worker_that_dies_takes_nothing_with_it(small, monkeypatch):
    whole = running.OneSet._pass

    def dies(self, key, one):
        if key == "ours-auto" and one["passes"]:
            self.clients[key].process.kill()
        whole(self, key, one)

    monkeypatch.setattr(running.OneSet, "_pass", dies)
    assert cli.main([*small[:-2], "--ours", "ours-auto", "--peers", "numpy", *small[-2:]]) == 0
    by_key = {e["key"]: e for e in results_of(small)["sets"][0]["engines"]}
    assert by_key["ours-auto"]["status"] == "failed"
    assert by_key["ours-auto"]["reason"].startswith("killed by SIGKILL")
    assert [len(s["passes"]) for s in by_key["ours-auto"]["settings"]] == [1], "its first round is kept"
    assert [len(s["passes"]) for s in by_key["numpy-exact"]["settings"]] == [2, 2]
    assert "(broke off)" in (Path(small[-1]) / "report.md").read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_run_is_reported(small, monkeypatch, how):
    def stops(self):
        os.kill(os.getpid(), how)
        time.sleep(30)

    monkeypatch.setattr(running.OneSet, "rounds", stops)
    assert cli.main([*small[:-2], "--ours", "none", "--peers", "numpy", *small[-2:]]) == 130
    assert not results_of(small)["complete"]
    assert "did not come to its end" in (Path(small[-1]) / "report.md").read_text()


def test_bisection_finds_the_least_setting(tmp_path):
    one = running.OneSet.__new__(running.OneSet)
    one.options = running.Options(targets=(0.9, 0.95))
    one.engines = {"x": {"settings": []}}
    asked = []

    def recall(key, curve, value, k):
        asked.append(value)
        one.engines["x"]["settings"].append({"recall_cpu_s": 0.1})
        return 1 - 1 / value

    one._recall = recall  # type: ignore[method-assign]
    one._sweep("x", libs.Curve(knob="ef", values=(5, 15, 40, 100, 300)), 10)
    # .90 from 10 on, .95 from 20 on; a sweep ends where the last target is passed.
    assert min(v for v in asked if 1 - 1 / v >= 0.9) == 10
    assert min(v for v in asked if 1 - 1 / v >= 0.95) == 20
    assert max(asked) == 40


def test_rendering_again(small, capsys):
    assert cli.main([*small[:-2], "--ours", "none", "--peers", "numpy", *small[-2:]]) == 0
    out = Path(small[-1])
    first = (out / "report.html").read_text()
    (out / "report.html").unlink()
    assert cli.main(["--render", str(out / "results.json")]) == 0
    assert (out / "report.html").read_text() == first


# The command line.


def test_arguments_of_several_sets():
    argv = ["--items", "a.npy", "--queries", "q.npy", "--metric", "ip", "--items", "b.hdf5", "--name", "bee"]
    assert cli.parser().parse_args(argv).sets == [
        {"items": Path("a.npy"), "queries": Path("q.npy"), "metric": "ip"},
        {"items": Path("b.hdf5"), "name": "bee"},
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["--queries", "q.npy"], "--queries: expected --items before it"),
        (["--items", "a.npy", "--name", "x", "--name", "y"], "--name: given twice"),
        (["--peers", "hnswlob"], "--peers: expected none or some of .*got 'hnswlob'"),
        (["--ours", "hnswlib"], "--ours: expected none or some of .*got 'hnswlib'"),
        (["--targets", "95"], "expected a recall above 0 and up to 1, got 95"),
        (["--k", "0"], "expected a whole number from 1, got 0"),
        (["--items", "a.npy", "--metric", "l2"], "--items: expected a file, got a.npy"),
    ],
)
def test_wrong_arguments_are_named(argv, said, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(argv)
    assert ended.value.code == 2
    assert re.search(said, capsys.readouterr().err)


def test_more_answers_than_items(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.eye(8))
    with pytest.raises(SystemExit):
        cli.main(["--items", str(tmp_path / "x.npy"), "--metric", "ip"])
    assert "--k: expected at most 4, the items of x, got 10" in capsys.readouterr().err


def test_names_of_configurations():
    usual = libs.choose("--peers", None, ours=False)
    assert "hnswlib-16" in usual and "hnswlib-48" not in usual and "numpy-exact" not in usual
    assert "hnswlib-48" in libs.choose("--peers", None, ours=False, tune=True)
    assert libs.choose("--peers", ["faiss"], ours=False) == ["faiss-hnsw-16", "faiss-sq8-16", "faiss-flat"]
    assert libs.choose("--peers", ["hnswlib-48"], ours=False) == ["hnswlib-48"]
    assert libs.choose("--ours", ["none"], ours=True) == []
    assert all(libs.BY_KEY[key][0].family == "ours" for key in libs.choose("--ours", None, ours=True))
    assert len(libs.BY_KEY) == sum(len(e.configs) for e in libs.ENGINES), "a key names one configuration"


def test_make_lists_it():
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"make bench-peers +\S", listed)
