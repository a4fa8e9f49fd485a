"""Measure the encoder against its peers: `make bench`.

Every implementation runs in a process of its own (`worker`, which calls one function of `jobs`), in
turn, several rounds. The measures themselves are in `comparison` (against peers), `load`
(one encoder under load) and `quality` (how exact the vectors are); `session.measure` runs them.
`docs/benchmarks.md` says what they show.
"""
