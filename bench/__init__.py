"""The benchmark suite; README.md says how to run and read it."""

import os

# One thread on both sides: NumPy's BLAS reads these when it is first imported, which is later than this.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
