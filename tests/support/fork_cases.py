"""One way of forking a process that holds a model; run by backends/test_fork.py.

    python fork_cases.py CASE[,CASE...] BACKEND DIRECTORY

Prints "done" if every child left by itself with exit status 0 and computed what its parent did.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np

TEXTS = ["How many people live in London?", "", "日本語 [SEP]", *["word " * 40] * 3]


def make_encoder() -> Any:
    from multiqa_integrations import MultiQAEncoder

    backend: Any = sys.argv[2]
    return MultiQAEncoder(sys.argv[3], backend=backend, dtype="float32", device="cpu")


def fork(child: Callable[[], object], *, at_once: bool = False) -> None:
    """Fork a child that does something, and leaves: at once, or as Python does at its end."""
    pid = os.fork()
    if pid == 0:
        child()
        if at_once:
            os._exit(0)
        sys.exit(0)  # everything that Python and the libraries do at exit is done
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code == 0, f"the child left with {code}"


class Parent:
    """A process that has used its model."""

    def __init__(self) -> None:
        self.encoder = make_encoder()
        self.vectors = self.encoder.encode(TEXTS)

    def check(self, vectors: Any = None) -> None:
        found = self.encoder.encode(TEXTS) if vectors is None else vectors
        np.testing.assert_allclose(found, self.vectors, atol=1e-5)


def child_exits(parent: Parent) -> None:
    fork(lambda: None)


def child_encodes(parent: Parent) -> None:
    def encode() -> None:
        parent.check()
        parent.check()

    fork(encode)


def child_encodes_much(parent: Parent) -> None:
    fork(lambda: parent.check(parent.encoder.encode(TEXTS * 20)[: len(TEXTS)]))


def child_drops_the_encoder(parent: Parent) -> None:
    def drop() -> None:
        del parent.encoder
        gc.collect()

    fork(drop)


def child_drops_what_it_loaded(parent: Parent) -> None:
    def use_and_drop() -> None:
        parent.check()
        del parent.encoder
        gc.collect()

    fork(use_and_drop)


def child_makes_an_encoder(parent: Parent) -> None:
    fork(lambda: parent.check(make_encoder().encode(TEXTS)))


def child_forks_again(parent: Parent) -> None:
    def fork_again() -> None:
        parent.check()
        fork(parent.check)
        parent.check()

    fork(fork_again)


def child_goes_on_with_a_stream(parent: Parent) -> None:
    from multiqa_integrations import windows

    windows._WINDOW_TEXTS = 3
    stream = parent.encoder.encode_stream(TEXTS)
    head = next(stream)
    fork(lambda: parent.check(np.concatenate([head, *stream])))
    fork(lambda: stream.close())
    parent.check(np.concatenate([head, *stream]))


def garbage_in_the_parent(parent: Parent) -> None:
    cycle: list[Any] = [parent.encoder]
    cycle.append(cycle)
    gc.disable()
    del parent.encoder, cycle
    fork(gc.collect)
    parent.encoder = make_encoder()


def while_another_thread_encodes(parent: Parent) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            parent.encoder.encode(TEXTS)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(2):
            fork(parent.check)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def fork_pool(parent: Parent) -> None:
    with multiprocessing.get_context("fork").Pool(2) as pool:
        for vectors in pool.map(parent.encoder.encode, [TEXTS] * 4):
            parent.check(vectors)
        pool.close()
        pool.join()


def fork_executor(parent: Parent) -> None:
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        for vectors in pool.map(parent.encoder.encode, [TEXTS] * 4):
            parent.check(vectors)


def fork_from_a_thread(parent: Parent) -> None:
    process = multiprocessing.get_context("fork").Process(target=parent.check)

    def start() -> None:
        process.start()
        process.join()

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert process.exitcode == 0


def spawn_pool(parent: Parent) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for vectors in pool.map(parent.encoder.encode, [TEXTS] * 2):
            parent.check(vectors)
        pool.close()
        pool.join()


def while_another_thread_loads() -> None:
    encoder = make_encoder()
    _ = encoder.tokenizer  # what is left is the backend
    loading = threading.Thread(target=encoder.load)
    loading.start()
    # While torch is imported by the parent, other libraries register what they do at forks. Once,
    # the end of such a child found memory freed twice; what the child computes is right.
    fork(lambda: encoder.encode(TEXTS), at_once=sys.argv[2] != "openvino")
    loading.join()
    gc.collect()
    fork(lambda: encoder.encode(TEXTS))


def torch_is_the_users_own() -> None:
    import torch

    from multiqa_integrations import MultiQAEncoder  # noqa: F401 (it notes the fork)

    torch.set_num_threads(2)  # with one there is no pool that could hang
    with torch.inference_mode():
        torch.nn.functional.layer_norm(torch.randn(4000, 384), (384,))
        torch.randn(1000, 1000) @ torch.randn(1000, 1000)
    fork(lambda: make_encoder().encode(TEXTS))


def main() -> None:
    names = sys.argv[1].split(",")
    if names[0] in ("while_another_thread_loads", "torch_is_the_users_own"):
        globals()[names[0]]()
    else:
        parent = Parent()
        for name in names:
            globals()[name](parent)
            parent.check()  # the parent's own model is as it was
            sys.stdout.write(f"{name}\n")
            sys.stdout.flush()  # a child must not print it again
    sys.stdout.write("done\n")


if __name__ == "__main__":
    main()
