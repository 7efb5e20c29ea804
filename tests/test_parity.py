"""One slate, one record, whoever makes it: Python, C on this processor, C on another one under emulation.

`make test-embedded` builds the programs (rust/capi/ctest/parity.c with the library of each processor) and names them in
PERSO_CORE_PARITY, a command a line. Without it nothing here can run but what is about the cases themselves.
"""

import os
import shlex
import subprocess

import pytest

import parity_cases

PROGRAMS = [line for line in os.environ.get("PERSO_CORE_PARITY", "").splitlines() if line.strip()]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parity")
    return folder, parity_cases.write(folder)


def test_the_cases_are_of_every_kind(written):
    _, cases = written
    policies = [case.slate.record()["policy"] for case in cases]
    kinds = {(policy["diversity"] or {}).get("kind") for policy in policies}
    assert kinds == {None, "mmr", "dpp", "spread", "calibrated"}
    explorers = {"epsilon_greedy", "softmax", "plackett_luce", "thompson_sampling", "ucb"}
    assert {(policy["explore"] or {}).get("kind") for policy in policies} == {None, *explorers}
    assert {rule["kind"] for policy in policies for rule in policy.get("rules", [])} == {
        "boost",
        "hide",
        "pin",
        "at_least",
    }
    assert {case.slate.path for case in cases} >= {"exact", "graph", "attributes"}
    assert {space.dtype for space in parity_cases.SPACES.values()} == {"i8", "f16", "f32"}
    assert any(choice["explored"] for case in cases for choice in case.slate.record()["choices"])
    # Each can be said in the request of the C ABI too.
    assert all(case.request is not None for case in cases)


@pytest.mark.skipif(not PROGRAMS, reason="make test-embedded names the programs in PERSO_CORE_PARITY")
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_in_c_makes_the_same_bytes(written, program, tmp_path):
    folder, cases = written
    subprocess.run([*shlex.split(program), folder, tmp_path / "out"], check=True)
    lines = (tmp_path / "out").read_text(encoding="utf-8").splitlines()
    expected = []
    for case in cases:
        record = case.slate.record_json()
        if case.request is not None:
            expected.append(f"rank {case.name} 0 {record}")
        expected.append(f"replay {case.name} 0 {record}")
    assert len(expected) > 100
    differ = [i for i, (line, want) in enumerate(zip(lines, expected)) if line != want]
    # The first that differs says enough; a diff of all would be megabytes.
    assert [(lines[i], expected[i]) for i in differ[:1]] == []
    assert len(lines) == len(expected)
