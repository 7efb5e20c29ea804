"""Writes the files of this folder's `foreign/`: indexes of hnswlib and faiss, and what they hold by these libraries.

    pip install hnswlib==0.8.0 faiss-cpu && python tests/files/make_foreign.py

Beside each file NAME.bin lies what the library itself says of it: `NAME.npz` with labels, vectors as the library gives
them back, links and levels by its own interface, and answers to some queries at some ef.
"""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "foreign"
DIM = 8
ROWS = 240
K, EF = 10, 24


def vectors(seed, rows=ROWS):
    return np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)


QUERIES = vectors(99, 20)


def hnswlib_lists(state):
    """Links by row and layer, from what hnswlib pickles of an index."""
    base = (
        state["data_level0"]
        .view(np.uint8)
        .reshape(state["cur_element_count"], state["size_data_per_element"])
    )
    upper = state["link_lists"].view(np.uint8)
    at, out = 0, []
    for row, level in enumerate(state["element_levels"][: state["cur_element_count"]]):
        lists = [base[row, : 4 + 4 * state["max_M0"]].tobytes()]
        for _ in range(level):
            lists.append(upper[at : at + state["size_links_per_element"]].tobytes())
            at += state["size_links_per_element"]
        for layer, of in enumerate(lists):
            count = int.from_bytes(of[:2], "little")
            for link in np.frombuffer(of, "<u4", count, 4):
                out.append((row, layer, int(link)))
    return np.array(out, np.int64)


def write_hnswlib():
    import hnswlib

    for name, space, M, removed in (
        ("hnswlib_l2", "l2", 6, range(0)),
        ("hnswlib_cosine", "cosine", 4, range(3, 60, 7)),
        ("hnswlib_ip", "ip", 5, range(0)),
        ("hnswlib_mostly_removed", "l2", 4, range(150)),
    ):
        index = hnswlib.Index(space, DIM)
        index.init_index(ROWS + 10, ef_construction=40, M=M, random_seed=7)
        labels = 3 * np.arange(ROWS) + 5
        index.add_items(vectors(len(name)), labels, num_threads=1)
        for i in removed:
            index.mark_deleted(int(labels[i]))
        index.save_index(str(FOLDER / f"{name}.bin"))
        index.set_ef(EF)
        found, distances = index.knn_query(QUERIES, K, num_threads=1)
        state = index.__getstate__()
        state = state[0] if isinstance(state, tuple) else state
        live = np.array([i for i in range(ROWS) if i not in removed])
        np.savez_compressed(
            FOLDER / f"{name}.npz",
            labels=labels[live],
            vectors=index.get_items(labels[live], return_type="numpy"),
            links=hnswlib_lists(state),
            levels=np.array(state["element_levels"])[:ROWS],
            entry=state["enterpoint_node"],
            found=found,
            distances=distances,
        )
    empty = hnswlib.Index("l2", DIM)
    empty.init_index(10)
    empty.save_index(str(FOLDER / "hnswlib_empty.bin"))


def faiss_links(faiss, index):
    hnsw = index.hnsw
    of = faiss.vector_to_array
    slots, offsets = of(hnsw.neighbors), of(hnsw.offsets)
    firsts, levels = of(hnsw.cum_nneighbor_per_level), of(hnsw.levels)
    out = []
    for row, layers in enumerate(levels):
        for layer in range(layers):
            begin, end = (int(offsets[row]) + int(firsts[layer + i]) for i in (0, 1))
            out += [(row, layer, int(link)) for link in slots[begin:end] if link >= 0]
    return np.array(out, np.int64), levels - 1, hnsw.entry_point


def write_faiss():
    import faiss

    faiss.omp_set_num_threads(1)

    def save(name, index, storage, links, labels):
        faiss.write_index(index, str(FOLDER / f"{name}.bin"))
        distances, found = index.search(QUERIES, K)
        extra = dict(zip(("links", "levels", "entry"), links)) if links else {}
        np.savez_compressed(
            FOLDER / f"{name}.npz",
            labels=labels,
            vectors=storage.reconstruct_n(0, ROWS),
            found=found,
            distances=distances,
            **extra,
        )

    def graph(kind, seed, *arguments):
        index = kind(DIM, *arguments)
        index.hnsw.efConstruction, index.hnsw.efSearch = 40, EF
        index.train(vectors(seed))
        index.add(vectors(seed))
        return index

    rows, labels = np.arange(ROWS), 10 * np.arange(ROWS) - 70
    flat = graph(faiss.IndexHNSWFlat, 1, 6)
    save("faiss_hnsw_flat", flat, flat.storage, faiss_links(faiss, flat), rows)
    ip = graph(faiss.IndexHNSWFlat, 2, 5, faiss.METRIC_INNER_PRODUCT)
    save("faiss_hnsw_flat_ip", ip, ip.storage, faiss_links(faiss, ip), rows)
    sq = graph(faiss.IndexHNSWSQ, 3, faiss.ScalarQuantizer.QT_8bit, 4)
    save("faiss_hnsw_sq8", sq, sq.storage, faiss_links(faiss, sq), rows)
    for name, wrap in (("faiss_idmap", faiss.IndexIDMap), ("faiss_idmap2", faiss.IndexIDMap2)):
        inner = faiss.IndexHNSWFlat(DIM, 4)
        inner.hnsw.efConstruction, inner.hnsw.efSearch = 40, EF
        outer = wrap(inner)
        outer.add_with_ids(vectors(4), labels)
        save(name, outer, inner.storage, faiss_links(faiss, inner), labels)
    for name, kind in (("faiss_flat_l2", faiss.IndexFlatL2), ("faiss_flat_ip", faiss.IndexFlatIP)):
        index = kind(DIM)
        index.add(vectors(5))
        save(name, index, index, None, rows)
    half = graph(faiss.IndexHNSWSQ, 3, faiss.ScalarQuantizer.QT_fp16, 4)
    faiss.write_index(half, str(FOLDER / "refused_fp16.bin"))
    faiss.write_index(faiss.IndexFlat(DIM, faiss.METRIC_L1), str(FOLDER / "refused_l1.bin"))
    faiss.write_index(faiss.IndexLSH(DIM, 16), str(FOLDER / "refused_lsh.bin"))
    wide = faiss.IndexHNSWFlat(DIM, 4)
    wide.hnsw.set_nb_neighbors(0, 6)
    wide.hnsw.efConstruction = 40
    wide.add(vectors(6))
    save("faiss_misfit", wide, wide.storage, None, rows)
    faiss.write_index(faiss.IndexHNSWFlat(DIM, 4), str(FOLDER / "faiss_empty.bin"))


def write_tiny():
    """Of a dozen rows: what fuzzing starts from, and small enough to damage at every bit."""
    import faiss
    import hnswlib

    rows = vectors(7, 12)[:, :3].copy()
    for space in ("l2", "ip", "cosine"):
        index = hnswlib.Index(space, 3)
        index.init_index(12, ef_construction=10, M=2, random_seed=3)
        index.add_items(rows, num_threads=1)
        index.mark_deleted(5)
        index.save_index(str(FOLDER / f"tiny_hnswlib_{space}.bin"))
    sq = faiss.IndexHNSWSQ(3, faiss.ScalarQuantizer.QT_8bit, 2)
    sq.train(rows)
    for name, index in (
        ("flat", faiss.IndexFlatIP(3)),
        ("hnsw_flat", faiss.IndexHNSWFlat(3, 2)),
        ("hnsw_sq8", sq),
        ("idmap2", faiss.IndexIDMap2(faiss.IndexHNSWFlat(3, 2))),
    ):
        if name == "idmap2":
            index.add_with_ids(rows, np.arange(12) - 4)
        else:
            index.add(rows)
        faiss.write_index(index, str(FOLDER / f"tiny_faiss_{name}.bin"))


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_hnswlib()
    write_faiss()
    write_tiny()
