"""Measure this package on this machine: `multiqa bench`.

Each implementation runs in a process of its own (`worker`, which calls a function of `jobs`), in
turn, several rounds. `measures` makes tables of the results; `docs/benchmarks.md` explains them.
"""
