"""`make bench-peers`: this library and its peers on the same data, in interleaved rounds.

| file | what |
|---|---|
| `cli.py` | the command line |
| `install.py` | the peers into the environment, one by one, each failure by name |
| `sets.py` | data from `.npy`, Parquet and `.hdf5` files, or generated |
| `libs/` | one adapter a library |
| `worker.py`, `client.py` | an index in a process of its own, and the side that asks it |
| `run.py` | builds, sweeps, bisection, rounds; the results, written as they come |
| `results.py` | what follows from them: rates at a recall, ratios |
| `machine.py` | what it ran on |
| `markdown.py`, `page.py`, `plot.py` | the reports |
"""
