"""The demo's data set: downloaded, verified, parsed, split."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest

from demo_world import FILMS_HEADER, write
from perso_core.demo import data, download
from perso_core.demo.errors import DemoError
from perso_core.demo.split import newest_first, split

FILM_ROWS = [
    "2|Usual Suspects, The|1995|Crime Thriller",
    "1|Toy Story|1995|Animation Children's Comedy",
    "3|Misérables, Les|1995|Drama Musical",
    "4|unkonwn|unkonwn|unknown",
]
RATING_ROWS = ["1|2|5|880000002", "1|1|3|880000001", "2|3|4|880000000", "2|4|1|880000000"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "ml", FILM_ROWS, RATING_ROWS)


# --- parsing ---------------------------------------------------------------------------------------


def test_films_come_sorted_with_titles_years_and_genres(folder):
    films = data.load(folder, data.Counts(2, 4, 4)).films
    assert films.ids.tolist() == [1, 2, 3, 4]
    assert films.titles == ["Toy Story", "The Usual Suspects", "Les Misérables", "unkonwn"]
    assert films.years == [1995, 1995, 1995, None]
    assert films.genres[0] == ["Animation", "Children's", "Comedy"]
    assert films.rows(np.array([3, 1])).tolist() == [2, 0]


def test_ratings_keep_every_column(folder):
    movielens = data.load(folder, None)
    assert movielens.user_ids.tolist() == [1, 2]
    rows = {
        (int(u), int(i)): (int(s), int(t))
        for u, i, s, t in zip(
            movielens.ratings.users,
            movielens.ratings.items,
            movielens.ratings.stars,
            movielens.ratings.times,
            strict=True,
        )
    }
    assert rows == {
        (1, 2): (5, 880000002),
        (1, 1): (3, 880000001),
        (2, 3): (4, 880000000),
        (2, 4): (1, 880000000),
    }


@pytest.mark.parametrize(
    ("title", "plain"),
    [
        ("Postino, Il", "Il Postino"),
        (
            "Horseman on the Roof, The (Hussard sur le toit, Le)",
            "The Horseman on the Roof (Hussard sur le toit, Le)",
        ),
        ("Contempt (Mépris, Le)", "Contempt (Mépris, Le)"),
        ("Good, The Bad and The Ugly, The", "The Good, The Bad and The Ugly"),
        ("I, Worst of All", "I, Worst of All"),
    ],
)
def test_a_moved_article_goes_back_to_the_front(tmp_path, title, plain):
    write(tmp_path, [f"1|{title}|1990|Drama"], ["1|1|5|1"])
    assert data.load(tmp_path, None).films.titles == [plain]


@pytest.mark.parametrize(
    ("films", "ratings", "message"),
    [
        (FILM_ROWS, ["1|1|5"], r"ml-100k.inter, line 2: expected 4 columns, got 3"),
        (FILM_ROWS, ["1|1|5|1", "x|1|5|1"], r"line 3: user_id: expected a whole number, got 'x'"),
        (FILM_ROWS, ["1|1|6|1"], r"rating: expected 1 to 5 stars, got 6"),
        (FILM_ROWS, ["1|9|5|1"], r"film 9 is rated in ml-100k.inter but not described"),
        (FILM_ROWS, ["1|1|5|1", "1|1|4|2"], r"rated the same film twice"),
        ([FILM_ROWS[0], FILM_ROWS[0]], ["1|2|5|1"], r"the same item_id appears twice"),
    ],
)
def test_a_wrong_table_is_named_with_its_line(tmp_path, films, ratings, message):
    write(tmp_path, films, ratings)
    with pytest.raises(DemoError, match=message):
        data.load(tmp_path, None)


def test_a_foreign_header_is_refused(folder):
    table = folder / "ml-100k.item"
    table.write_text(
        table.read_text(encoding="utf-8").replace(FILMS_HEADER, "movie_id\ttitle"), encoding="utf-8"
    )
    with pytest.raises(DemoError, match=r"line 1: expected the columns item_id:token.*got movie_id, title"):
        data.load(folder, None)


def test_an_incomplete_data_set_is_refused(folder):
    with pytest.raises(
        DemoError, match="expected 943 users, 1682 films and 100000 ratings; found 2, 4 and 4"
    ):
        data.load(folder, data.ML_100K)


# --- the split -------------------------------------------------------------------------------------


def _ratings(rows: list[tuple[int, int, int]]) -> data.Ratings:
    users, items, times = (np.array(column, dtype=np.int64) for column in zip(*rows, strict=True))
    return data.Ratings(users, items, np.full(len(rows), 4), times)


def test_the_latest_ratings_are_held_out_and_ties_go_by_item():
    rows = [(1, item, 100 + item // 4) for item in range(12)] + [(2, 5, 9), (2, 4, 9), (2, 3, 9)]
    kept, out = split(_ratings(rows), held_out=2)
    assert [(int(u), int(i)) for u, i in zip(out.users, out.items, strict=True)] == [
        (1, 10),
        (1, 11),
        (2, 4),
        (2, 5),
    ]
    assert len(kept) == len(rows) - 4
    assert kept.items[kept.users == 2].tolist() == [3]


def test_the_split_does_not_depend_on_the_order_of_rows(rng):
    rows = [(user, item, int(rng.integers(5))) for user in range(5) for item in range(20)]
    straight = split(_ratings(rows), held_out=4)
    shuffled = split(_ratings([rows[i] for i in rng.permutation(len(rows))]), held_out=4)
    for one, other in zip(straight, shuffled, strict=True):
        for column in ("users", "items", "stars", "times"):
            np.testing.assert_array_equal(getattr(one, column), getattr(other, column))


def test_no_more_than_a_share_is_held_out():
    kept, out = split(_ratings([(1, item, item) for item in range(6)]), held_out=10, at_most=0.5)
    assert (len(kept), len(out)) == (3, 3)


def test_newest_first_is_the_split_order_reversed():
    history = newest_first(_ratings([(1, 1, 5), (1, 2, 7), (1, 3, 5), (2, 9, 1)]))
    assert history[1].items.tolist() == [2, 3, 1]
    assert history[2].items.tolist() == [9]


# --- the download ----------------------------------------------------------------------------------


@pytest.fixture
def wheel(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with small tables, and the demo made to expect those."""
    tables = []
    path = tmp_path / download.WHEEL_NAME
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("recbole/__init__.py", "raise SystemExit('never run')")
        for table in download.TABLES:
            content = (folder / table.name).read_bytes()
            archive.writestr(f"{download.WHEEL_FOLDER}/{table.name}", content)
            tables.append(download.Table(table.name, len(content), hashlib.sha256(content).hexdigest()))
    monkeypatch.setattr(download, "TABLES", tuple(tables))
    return path


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_tables_leave_the_wheel(wheel, folder, tmp_path):
    cache = tmp_path / "cache"
    assert not download.intact(cache)
    download.unpack(wheel, cache, _sha256(wheel))
    assert sorted(path.name for path in cache.iterdir()) == ["ml-100k.inter", "ml-100k.item"]
    assert (cache / "ml-100k.item").read_bytes() == (folder / "ml-100k.item").read_bytes()
    assert download.intact(cache)


def test_a_damaged_table_in_the_cache_is_noticed(wheel, tmp_path):
    cache = tmp_path / "cache"
    download.unpack(wheel, cache, _sha256(wheel))
    with (cache / "ml-100k.inter").open("ab") as file:
        file.write(b"1\t1\t5\t1\n")
    assert not download.intact(cache)


def test_a_damaged_download_is_refused_before_it_is_opened(wheel, tmp_path):
    expected = _sha256(wheel)
    content = bytearray(wheel.read_bytes())
    content[len(content) // 2] ^= 1
    wheel.write_bytes(content)
    with pytest.raises(
        DemoError, match=f"was not opened(.|\n)*{expected}(.|\n)*{_sha256(wheel)}(.|\n)*--data PATH"
    ):
        download.unpack(wheel, tmp_path / "cache", expected)
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("damage", ["missing", "altered", "longer"])
def test_a_wheel_with_other_tables_is_refused(wheel, tmp_path, damage):
    member = f"{download.WHEEL_FOLDER}/{download.TABLES[0].name}"
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(member)
    with zipfile.ZipFile(wheel, "w") as archive:
        if damage != "missing":
            archive.writestr(member, content + b"x" if damage == "longer" else b"x" + content[1:])
    with pytest.raises(DemoError, match=r"ml-100k\.inter"):
        download.unpack(wheel, tmp_path / "cache", _sha256(wheel))
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_an_index_the_error_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    with pytest.raises(DemoError) as error:
        download.find(None)
    text = str(error.value)
    assert "could not download recbole==1.2.1" in text
    assert "perso-core demo --data PATH" in text
    assert str(tmp_path / "cache") in text


def test_an_intact_cache_is_used_without_a_download(wheel, tmp_path, monkeypatch):
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path))
    download.unpack(wheel, download.cache_folder(), _sha256(wheel))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert download.find(None) == tmp_path / "ml-100k"


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.delenv(download.CACHE_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert download.cache_folder() == tmp_path / "perso_core" / "ml-100k"
    monkeypatch.setenv("XDG_CACHE_HOME", "not/absolute")
    assert download.cache_folder() == Path.home() / ".cache" / "perso_core" / "ml-100k"
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "own"))
    assert download.cache_folder() == tmp_path / "own" / "ml-100k"


def test_a_given_folder_may_be_an_unpacked_wheel(tmp_path):
    deep = write(tmp_path / download.WHEEL_FOLDER, FILM_ROWS, RATING_ROWS)
    assert download.find(tmp_path) == deep
    assert download.find(deep.parent) == deep
    assert download.find(deep) == deep


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_given_folder_without_the_tables_is_refused(tmp_path, name):
    with pytest.raises(DemoError, match=r"--data .*expected a folder with ml-100k.inter and ml-100k.item"):
        download.find(tmp_path / name)
