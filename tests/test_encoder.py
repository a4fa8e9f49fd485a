from __future__ import annotations

import copy
import itertools
import json
import pickle
import re
import shutil
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from multiqa_integrations import Encoder, MultiQAEncoder
from multiqa_integrations import windows as module
from multiqa_integrations.backends import Compute
from multiqa_integrations.errors import (
    ConfigurationError,
    ModelContractError,
    ModelIntegrityError,
    ModelNotFoundError,
    TextTypeError,
    TruncationError,
    TruncationWarning,
)
from multiqa_integrations.types import Vectors
from tests.support.checkpoints import Change, copy_of
from tests.support.installed import needs_torch

CORPUS = [
    "How many people live in London?",
    "Around 9 million people live in London",
    "London is known for its financial district",
    "",
    "[SEP]",
    "日本語",
    "one two three four five six seven eight nine ten " * 5,
    "short",
]
LONG = "word " * 300


@pytest.fixture(scope="module")
def vectors(encoder: MultiQAEncoder) -> Vectors:
    """The vectors of CORPUS, each computed alone."""
    return np.concatenate([encoder.encode([text]) for text in CORPUS])


def of(directory: Path, **changes: Any) -> MultiQAEncoder:
    """Make an encoder of `directory` with the backend that every machine has."""
    return MultiQAEncoder(directory, **{"backend": "openvino", "dtype": "float32", **changes})


# --- what comes out -------------------------------------------------------------------------


def test_it_is_an_encoder(encoder: MultiQAEncoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.dimension == 384


def test_shape_type_and_length(encoder: MultiQAEncoder) -> None:
    found = encoder.encode(CORPUS)
    assert found.shape == (len(CORPUS), 384)
    assert found.dtype == np.float32
    assert found.flags.c_contiguous
    assert found.flags.writeable
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_a_batch_gives_the_vectors_of_single_texts(
    encoder: MultiQAEncoder, vectors: Vectors
) -> None:
    np.testing.assert_allclose(encoder.encode(CORPUS), vectors, atol=1e-5)


@settings(max_examples=15)
@given(rows=st.lists(st.integers(0, len(CORPUS) - 1), max_size=30))
def test_row_i_is_text_i(encoder: MultiQAEncoder, vectors: Vectors, rows: list[int]) -> None:
    found = encoder.encode([CORPUS[row] for row in rows])
    np.testing.assert_allclose(found, vectors[rows], atol=1e-5)


@pytest.mark.parametrize("batch_tokens", [1, 30, 100_000])
def test_the_size_of_a_batch_changes_nothing(
    test_model: Path, vectors: Vectors, batch_tokens: int
) -> None:
    found = of(test_model, batch_tokens=batch_tokens).encode(CORPUS)
    np.testing.assert_allclose(found, vectors, atol=1e-5)


def test_no_texts(encoder: MultiQAEncoder) -> None:
    for encode in (encoder.encode, encoder.encode_query, encoder.encode_document):
        found = encode([])
        assert found.shape == (0, 384)
        assert found.dtype == np.float32


def test_empty_texts_share_one_vector(encoder: MultiQAEncoder) -> None:
    found = encoder.encode(["", " ", "\n\t\u3000", "\x00"])
    np.testing.assert_allclose(found, found[[0, 0, 0, 0]], atol=1e-6)
    assert encoder.count_tokens(["", " \n"]).tolist() == [2, 2]  # [CLS] [SEP]
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_without_prompts_all_roles_are_alike(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    np.testing.assert_array_equal(encoder.encode_query(CORPUS[:1]), vectors[:1])
    np.testing.assert_array_equal(encoder.encode_document(CORPUS[:1]), vectors[:1])


def test_arrays_and_tuples(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    for texts in (tuple(CORPUS), np.array(CORPUS), np.array(CORPUS, dtype=object)):
        given_texts: Any = texts
        np.testing.assert_allclose(encoder.encode(given_texts), vectors, atol=1e-5)


def test_numpy_strings(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    found = encoder.encode([np.str_(text) for text in CORPUS])
    np.testing.assert_allclose(found, vectors, atol=1e-5)


def test_the_texts_given_are_left_alone(encoder: MultiQAEncoder) -> None:
    texts = ["b\ud83d", "a", "ccc ccc"]
    encoder.encode(texts)
    assert texts == ["b\ud83d", "a", "ccc ccc"]


def test_similarity(encoder: MultiQAEncoder) -> None:
    query = encoder.encode_query(["How many people live in London?"])
    passages = encoder.encode_document(
        ["London is known for its theatres", "Around 9 million people live in London"]
    )
    for score in ("dot", "cosine", "euclidean"):
        found = encoder.similarity(query, passages, score=score)
        assert found.shape == (1, 2)
        assert found.argmax() == 1
    np.testing.assert_allclose(encoder.similarity(query, query), [[1]], atol=1e-5)


def test_count_tokens(encoder: MultiQAEncoder) -> None:
    counts = encoder.count_tokens(["How many people live in London?", "", "word " * 5000])
    assert counts.tolist() == [9, 2, 5002]


# --- streams --------------------------------------------------------------------------------


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_WINDOW_TEXTS", 3)
    return 3


@pytest.mark.usefixtures("small_windows")
def test_a_stream_gives_what_encode_gives(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    parts = list(encoder.encode_stream(text for text in CORPUS))
    assert [len(part) for part in parts] == [3, 3, 2]
    assert all(part.dtype == np.float32 for part in parts)
    np.testing.assert_allclose(np.concatenate(parts), vectors, atol=1e-5)


def test_an_interrupt_while_batches_are_handed_over_ends_it(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C is an exception anywhere; batches that are queued by then are not computed."""
    encoder = of(test_model, batch_tokens=1)  # a batch for each text
    backend = encoder._runtime.backend
    submit, shutdown, embed = ThreadPoolExecutor.submit, ThreadPoolExecutor.shutdown, backend.embed
    handed_over, computed = itertools.count(1), itertools.count()
    ended = threading.Event()

    def interrupted(*args: Any) -> Any:
        if next(handed_over) == 50:
            raise KeyboardInterrupt
        return submit(*args)

    def then_go_on(*args: Any, **options: Any) -> None:
        shutdown(*args, **options)
        ended.set()

    def wait_and_embed(ids: Any, mask: Any) -> Vectors:
        if not ended.wait(30):  # nothing was cancelled: let all of them go on, and be counted
            ended.set()
        next(computed)
        return embed(ids, mask)

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    monkeypatch.setattr(ThreadPoolExecutor, "shutdown", then_go_on)
    monkeypatch.setattr(backend, "embed", wait_and_embed)
    with pytest.raises(KeyboardInterrupt):
        encoder.encode(["short"] * 100)
    assert next(handed_over) == 51
    assert next(computed) <= backend.parallelism


def test_a_list_is_a_stream_too(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    np.testing.assert_allclose(
        np.concatenate(list(encoder.encode_stream(CORPUS))), vectors, atol=1e-5
    )


def test_an_empty_stream(encoder: MultiQAEncoder) -> None:
    assert list(encoder.encode_stream(iter([]))) == []


def test_a_stream_reads_one_window_ahead(encoder: MultiQAEncoder, small_windows: int) -> None:
    taken = 0

    def texts() -> Iterator[str]:
        nonlocal taken
        for taken in itertools.count(1):  # endless
            yield f"text {taken}"

    stream = encoder.encode_stream(texts())
    assert taken == 0
    for windows in (1, 2, 3):
        assert len(next(stream)) == small_windows
        assert taken == windows * small_windows


@pytest.mark.usefixtures("small_windows")
def test_the_next_window_is_read_while_one_is_computed(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device that computes nothing until the next texts are there."""
    encoder = of(test_model, batch_tokens=1)  # a batch for each text
    backend = encoder._runtime.backend
    embed, are_read = backend.embed, threading.Event()

    def texts() -> Iterator[str]:
        for number, text in enumerate(CORPUS, start=1):
            if number == 6:  # the last of the second window
                are_read.set()
            yield text

    def wait_and_embed(ids: Any, mask: Any) -> Vectors:
        assert are_read.wait(30), "nothing was read meanwhile"
        return embed(ids, mask)

    monkeypatch.setattr(backend, "embed", wait_and_embed)
    parts = list(encoder.encode_stream(texts()))
    assert [len(part) for part in parts] == [3, 3, 2]


@pytest.mark.usefixtures("small_windows")
def test_a_source_that_fails_meanwhile(test_model: Path) -> None:
    def texts() -> Iterator[str]:
        yield from CORPUS[:4]
        raise OSError("the source broke off")

    stream = of(test_model, batch_tokens=1).encode_stream(texts())
    assert len(next(stream)) == 3
    with pytest.raises(OSError, match="broke off"):
        next(stream)


# --- many texts on an accelerator -----------------------------------------------------------


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch, small_windows: int) -> int:
    """What computes passes for an accelerator; returns the texts of a window."""
    monkeypatch.setattr(Compute, "on_accelerator", True)
    monkeypatch.setattr(Compute, "batch_texts", 4)
    return small_windows


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("batch_tokens", [1, 10_000])  # several batches a window, or one
@pytest.mark.parametrize("call", ["encode", "encode_stream"])
def test_the_next_texts_are_tokenised_while_it_computes(
    test_model: Path,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    batch_tokens: int,
) -> None:
    """On a device that finishes no window before the next one is tokenised."""
    encoder = of(test_model, batch_tokens=batch_tokens)
    backend = encoder._runtime.backend
    tokenize, embed = encoder._tokenize, backend.embed
    changed = threading.Condition()
    tokenized = computed = 0

    def noted(texts: list[str], role: Any) -> Any:
        nonlocal tokenized
        result = tokenize(texts, role)
        with changed:
            tokenized += len(texts)
            changed.notify_all()
        return result

    def wait_and_embed(ids: Any, mask: Any) -> Vectors:
        nonlocal computed
        with changed:
            ahead = min(3 * (computed // 3 + 2), len(CORPUS))
            computed += len(ids)
            assert changed.wait_for(lambda: tokenized >= ahead, 30), "nothing was tokenised"
        return embed(ids, mask)

    monkeypatch.setattr(encoder, "_tokenize", noted)
    monkeypatch.setattr(backend, "embed", wait_and_embed)
    found = getattr(encoder, call)(CORPUS)
    np.testing.assert_allclose(np.concatenate(list(found)).reshape(-1, 384), vectors, atol=1e-5)


@pytest.mark.usefixtures("accelerator")
def test_a_query_is_computed_as_one(test_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = of(test_model)
    queries, embed = [], encoder._runtime.queries.embed

    def noted(ids: Any, mask: Any) -> Vectors:
        queries.append(len(ids))
        return embed(ids, mask)

    monkeypatch.setattr(encoder._runtime.queries, "embed", noted)
    encoder.encode_query(["How many people live in London?"])
    encoder.encode(["two", "short"])
    assert queries == [1, 2]


@pytest.mark.usefixtures("accelerator")
def test_a_long_text_is_an_error_before_anything_is_computed(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = of(test_model, max_seq_length=4, on_truncation="error")
    backend = encoder._runtime.backend
    monkeypatch.setattr(backend, "embed", lambda ids, mask: pytest.fail("it was computed"))
    with pytest.raises(TruncationError) as caught:
        encoder.encode([*["short"] * 20, "far too long for four"])
    assert caught.value.index == 20


@pytest.mark.usefixtures("accelerator")
@pytest.mark.parametrize("fails", [False, True])
def test_truncation_is_told_once_also_where_a_batch_fails(
    test_model: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    encoder = of(test_model, max_seq_length=4)
    texts = ["far too long for four", "short"] * 4
    if not fails:
        with pytest.warns(TruncationWarning, match="4 of 8 texts") as caught:
            encoder.encode(texts)
    else:

        def refuse(ids: Any, mask: Any) -> Vectors:
            raise RuntimeError("the device is gone")

        monkeypatch.setattr(encoder._runtime.backend, "embed", refuse)
        with (
            pytest.warns(TruncationWarning, match="2 of 3 texts") as caught,
            pytest.raises(RuntimeError, match="the device is gone"),
        ):
            encoder.encode(texts)
        monkeypatch.undo()
        assert encoder.encode(["short"]).shape == (1, 384)
    assert [warning.filename for warning in caught] == [__file__]


def test_truncation_is_told_before_anything_is_computed(
    test_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = of(test_model, max_seq_length=4)
    queries = encoder._runtime.queries
    monkeypatch.setattr(queries, "embed", lambda ids, mask: pytest.fail("it was computed"))
    with warnings.catch_warnings():
        warnings.simplefilter("error", TruncationWarning)
        with pytest.raises(TruncationWarning):
            encoder.encode(["far too long for four"])


def test_a_window_is_bounded_by_characters_too(
    encoder: MultiQAEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_WINDOW_CHARACTERS", 10)
    parts = list(encoder.encode_stream(["123456", "123456", "x", "y" * 50, "z"]))
    assert [len(part) for part in parts] == [2, 2, 1]


def test_a_bad_text_ends_a_stream_at_its_index(encoder: MultiQAEncoder, small_windows: int) -> None:
    texts: list[Any] = ["a"] * 7 + [None] + ["b"] * 10
    stream = encoder.encode_stream(texts)
    assert len(next(stream)) == len(next(stream)) == small_windows
    with pytest.raises(TextTypeError, match="text 7 is None") as caught:
        next(stream)
    assert caught.value.index == 7


@pytest.mark.parametrize("texts", ["a string", b"bytes", None, 3])
def test_what_is_no_stream_is_refused_at_once(encoder: MultiQAEncoder, texts: Any) -> None:
    with pytest.raises(TextTypeError, match="an iterable of texts"):
        encoder.encode_stream(texts)


# --- the limit ------------------------------------------------------------------------------


def test_the_limit_is_the_checkpoints(test_model: Path) -> None:
    assert of(test_model).max_seq_length == 256
    assert of(test_model, max_seq_length=512).max_seq_length == 512
    assert of(test_model, max_seq_length=np.int64(3)).max_seq_length == 3


def test_a_changed_limit_of_the_checkpoint(checkpoint: Path, change: Change) -> None:
    change("sentence_bert_config.json", {"max_seq_length": 512})
    assert of(checkpoint).max_seq_length == 512


@pytest.mark.parametrize("limit", [513, 2, 0, -1, float("nan"), float("inf"), True, 16.0, "16"])
def test_a_limit_out_of_range(test_model: Path, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"max_seq_length is .* 3 to 512"):
        MultiQAEncoder(test_model, max_seq_length=limit)


def test_a_text_is_cut_at_the_limit(test_model: Path) -> None:
    short = of(test_model, max_seq_length=8, on_truncation="ignore")
    found = short.encode(["one two three four five six seven eight", "one two three four five six"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_a_cut_is_told_once_a_call(test_model: Path) -> None:
    encoder = of(test_model, max_seq_length=8)
    with pytest.warns(TruncationWarning) as caught:
        encoder.encode(["a", LONG, "b", "word " * 400])
    assert len(caught) == 1
    said = str(caught[0].message)
    assert re.search("2 of 4 texts are longer than 8 .*the longest has 402", said)
    assert caught[0].filename == __file__


@pytest.mark.parametrize("method", ["encode_query", "encode_document"])
def test_a_cut_is_told_at_the_callers_line(test_model: Path, method: str) -> None:
    encoder = of(test_model, max_seq_length=8)
    with pytest.warns(TruncationWarning) as caught:
        getattr(encoder, method)([LONG])
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("small_windows")
def test_a_stream_tells_of_cuts_once_at_its_end(test_model: Path) -> None:
    encoder = of(test_model, max_seq_length=8)
    stream = encoder.encode_stream([LONG, "a", "b", "c", "d", LONG, "e"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        next(stream)
        next(stream)
    with pytest.warns(TruncationWarning, match="2 of 7 texts") as caught:
        list(stream)
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.usefixtures("small_windows")
def test_a_stream_that_is_left_early_tells_of_cuts_too(test_model: Path) -> None:
    stream: Any = of(test_model, max_seq_length=8).encode_stream([LONG, "a", "b", "c", "d"])
    next(stream)
    with pytest.warns(TruncationWarning, match="1 of 3 texts") as caught:
        stream.close()
    assert [warning.filename for warning in caught] == [__file__]


def test_no_word_where_nothing_is_cut(test_model: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        of(test_model, max_seq_length=8).encode(["one two three four five six"])
        of(test_model, max_seq_length=8, on_truncation="ignore").encode([LONG])
        of(test_model, max_seq_length=8, on_truncation="error").encode(["a"])


def test_an_error_instead_of_a_cut(test_model: Path) -> None:
    # Other settings than any other test's, so that nobody has loaded this model yet.
    encoder = of(test_model, max_seq_length=8, on_truncation="error", threads=3)
    with pytest.raises(TruncationError, match="text 1 has 302 word pieces") as caught:
        encoder.encode(["a", LONG, "b", "word " * 400])
    assert (caught.value.index, caught.value.tokens, caught.value.limit) == (1, 302, 8)
    assert not encoder._runtime._backends  # nothing was computed


@pytest.mark.usefixtures("small_windows")
def test_an_error_in_a_stream_tells_the_index_in_all_of_it(test_model: Path) -> None:
    encoder = of(test_model, max_seq_length=8, on_truncation="error")
    stream = encoder.encode_stream(["a", "b", "c", "d", LONG])
    next(stream)
    with pytest.raises(TruncationError) as caught:
        next(stream)
    assert caught.value.index == 4


# --- prompts --------------------------------------------------------------------------------

PROMPTS = {"query": "search for: ", "document": "passage: ", "other": "something else: "}


@pytest.mark.parametrize(
    ("prompts", "default", "query", "document", "plain"),
    [
        (PROMPTS, None, "search for: ", "passage: ", ""),
        (PROMPTS, "other", "search for: ", "passage: ", "something else: "),
        (PROMPTS, "query", "search for: ", "passage: ", "search for: "),
        ({"query": "search for: "}, "query", "search for: ", "", "search for: "),
        ({"query": "", "document": ""}, None, "", "", ""),
        ({"passage": "passage: "}, None, "", "", ""),
    ],
)
def test_prompts_are_put_before_the_texts(
    encoder: MultiQAEncoder,
    checkpoint: Path,
    change: Change,
    prompts: dict[str, str],
    default: str | None,
    query: str,
    document: str,
    plain: str,
) -> None:
    change(
        "config_sentence_transformers.json", {"prompts": prompts, "default_prompt_name": default}
    )
    prompted = of(checkpoint)
    texts = CORPUS[:2]
    for found, prefix in (
        (prompted.encode_query(texts), query),
        (prompted.encode_document(texts), document),
        (np.concatenate(list(prompted.encode_stream(texts))), document),
        (prompted.encode(texts), plain),
    ):
        expected = encoder.encode([prefix + text for text in texts])
        np.testing.assert_allclose(found, expected, atol=1e-5)


@needs_torch
def test_prompts_are_those_of_sentence_transformers(checkpoint: Path, change: Change) -> None:
    from sentence_transformers import SentenceTransformer

    change(
        "config_sentence_transformers.json",
        {"prompts": {"query": "search for: "}, "default_prompt_name": "query"},
    )
    theirs = SentenceTransformer(str(checkpoint), device="cpu", local_files_only=True)
    ours = of(checkpoint)
    for method in ("encode", "encode_query", "encode_document"):
        found = getattr(ours, method)(CORPUS[:2])
        np.testing.assert_allclose(found, getattr(theirs, method)(CORPUS[:2]), atol=1e-4)


# --- identity -------------------------------------------------------------------------------


def test_the_fingerprint_is_the_contents(test_model: Path, checkpoint: Path) -> None:
    assert of(checkpoint).fingerprint == of(test_model).fingerprint
    # The official file's digest: the hub's copy has the same fingerprint.
    digest = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
    assert of(test_model).fingerprint == f"sha256:{digest}/mean/l2"
    assert of(test_model, dtype="int8", max_seq_length=8).fingerprint == of(test_model).fingerprint


def test_other_weights_have_another_fingerprint(test_model: Path, checkpoint: Path) -> None:
    weights = load_file(test_model / "model.safetensors")
    weights["encoder.layer.5.output.LayerNorm.weight"][:100] = 0
    (checkpoint / "model.safetensors").unlink()
    save_file(weights, checkpoint / "model.safetensors")
    assert of(checkpoint).fingerprint != of(test_model).fingerprint
    apart = of(checkpoint).encode(["a"]) - of(test_model).encode(["a"])
    assert np.abs(apart).max() > 1e-3


def test_a_pickle_holds_the_settings_alone(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    pickled = pickle.dumps(encoder)
    assert len(pickled) < 2000
    twin = pickle.loads(pickled)
    assert twin.settings == encoder.settings
    np.testing.assert_allclose(twin.encode(CORPUS), vectors, atol=1e-5)


def test_a_pickle_works_in_another_process(encoder: MultiQAEncoder, vectors: Vectors) -> None:
    script = (
        "import pickle, sys\n"
        "encoder = pickle.load(sys.stdin.buffer)\n"
        "sys.stdout.buffer.write(encoder.encode(['How many people live in London?']).tobytes())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps(encoder),
        capture_output=True,
        check=True,
        timeout=120,
    )
    found = np.frombuffer(done.stdout, np.float32)
    np.testing.assert_allclose(found, vectors[0], atol=1e-5)


@pytest.mark.parametrize("copier", [copy.copy, copy.deepcopy])
def test_copies(encoder: MultiQAEncoder, vectors: Vectors, copier: Any) -> None:
    twin = copier(encoder)
    assert twin is not encoder
    assert twin.settings == encoder.settings
    np.testing.assert_allclose(twin.encode(CORPUS), vectors, atol=1e-5)


def test_settings_make_a_twin(test_model: Path) -> None:
    encoder = of(
        test_model,
        max_seq_length=100,
        batch_tokens=500,
        on_truncation="ignore",
        threads=1,
        cache_folder=Path("cache"),
        local_files_only=True,
    )
    assert MultiQAEncoder(**encoder.settings).settings == encoder.settings
    assert json.loads(json.dumps(encoder.settings)) == encoder.settings
    encoder.settings["max_seq_length"] = 5  # a copy
    assert encoder.max_seq_length == 100


def test_repr_shows_what_was_set(test_model: Path) -> None:
    assert repr(MultiQAEncoder("some/name")) == "MultiQAEncoder('some/name', on_truncation='warn')"
    shown = repr(of(test_model, max_seq_length=100))
    assert "max_seq_length=100" in shown
    twin = eval(shown, {"MultiQAEncoder": MultiQAEncoder})  # noqa: S307 (its own)
    assert twin.settings == of(test_model, max_seq_length=100).settings


def test_equal_settings_share_one_model(test_model: Path) -> None:
    one, other = of(test_model), of(test_model / ".", max_seq_length=100)
    assert one.load()._runtime.backend is other._runtime.backend
    assert one.tokenizer is other.tokenizer
    assert of(test_model, dtype="int8")._runtime is not one._runtime


def test_a_relative_directory_is_fixed_when_the_encoder_is_made(
    test_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, limit in (("here", 100), ("there", 50)):
        copied = copy_of(test_model, tmp_path / place / "model")
        (copied / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": limit}))
    monkeypatch.chdir(tmp_path / "here")
    here = MultiQAEncoder("model")
    monkeypatch.chdir(tmp_path / "there")
    there = MultiQAEncoder("model")
    assert (here.max_seq_length, there.max_seq_length) == (100, 50)


def test_nothing_is_loaded_before_the_first_use(tmp_path: Path) -> None:
    encoder = MultiQAEncoder(tmp_path / "not there yet", backend="openvino")
    assert encoder.dimension == 384
    assert "not there yet" in repr(encoder)
    assert encoder.encode([]).shape == (0, 384)


def test_what_failed_to_load_is_tried_again(test_model: Path, tmp_path: Path) -> None:
    encoder = of(tmp_path / "checkpoint")
    with pytest.raises(ModelNotFoundError):
        encoder.encode(["a"])
    copy_of(test_model, tmp_path / "checkpoint")
    assert encoder.encode(["a"]).shape == (1, 384)


@pytest.mark.parametrize("named", [False, True])
@pytest.mark.parametrize("key", ["num_hidden_layers", "vocab_size"])
def test_a_checkpoint_that_failed_to_load_can_be_mended(
    checkpoint: Path, key: str, named: bool
) -> None:
    file = checkpoint / "config.json"
    good = file.read_text(encoding="utf-8")
    file.write_text(json.dumps({**json.loads(good), key: 3}), encoding="utf-8")
    encoder = of(checkpoint)
    fingerprint = encoder.fingerprint if named else ""
    with pytest.raises(ModelContractError):
        encoder.encode(["a"])
    file.write_text(good, encoding="utf-8")
    for one in (encoder, of(checkpoint)):
        assert one.encode(["a"]).shape == (1, 384)
        assert one.fingerprint.startswith(fingerprint)


def test_weights_that_were_named_and_failed_to_load_are_not_replaced_by_others(
    test_model: Path, checkpoint: Path
) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    tensors["embeddings.LayerNorm.bias"] = np.full(384, np.nan, np.float32)
    (checkpoint / "model.safetensors").unlink()
    save_file(tensors, checkpoint / "model.safetensors")
    encoder, unnamed = of(checkpoint), of(checkpoint, max_seq_length=100, threads=1)
    fingerprint = encoder.fingerprint
    for one in (encoder, unnamed):
        with pytest.raises(ModelIntegrityError, match="NaN"):
            one.encode(["a"])
    shutil.copyfile(test_model / "model.safetensors", checkpoint / "new")
    (checkpoint / "new").rename(checkpoint / "model.safetensors")
    with pytest.raises(ModelIntegrityError, match="has been replaced"):
        encoder.encode(["a"])
    assert encoder.fingerprint == fingerprint
    for one in (of(checkpoint), unnamed):
        assert one.encode(["a"]).shape == (1, 384)
        assert one.fingerprint == of(test_model).fingerprint


def test_spec_and_compute(encoder: MultiQAEncoder, test_model: Path) -> None:
    assert encoder.spec.name == str(test_model)
    assert (encoder.spec.layers, encoder.spec.dimension) == (6, 384)
    assert (encoder.compute.backend, encoder.compute.dtype) == ("openvino", "float32")
    assert encoder.compute.device == "cpu"


# --- the progress bar -----------------------------------------------------------------------


def test_a_progress_bar_is_shown_where_asked(
    encoder: MultiQAEncoder, capfd: pytest.CaptureFixture[str]
) -> None:
    encoder.encode(CORPUS * 20)
    list(encoder.encode_stream(CORPUS))
    assert capfd.readouterr() == ("", "")
    encoder.encode(CORPUS * 20, show_progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert f"{len(CORPUS) * 20}/{len(CORPUS) * 20}" in err
    list(encoder.encode_stream(iter(CORPUS), show_progress=True))
    assert f"{len(CORPUS)}text" in capfd.readouterr().err


def test_threads_is_honoured(test_model: Path) -> None:
    assert of(test_model, threads=1)._runtime.backend.parallelism == 1
