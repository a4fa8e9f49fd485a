"""The peers, as their own documentation says to use them. Imported in worker processes only.

Each runs in the Python of its environment, where this package's own dependencies may be missing.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from multiqa_integrations.benchmark.texts import first_texts
from multiqa_integrations.types import Vectors

Encode: TypeAlias = Callable[[list[str]], Vectors]

_BATCH = 32  # sentence-transformers' default, and that of the adapters built on it


def load_sentence_transformers(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load sentence-transformers on torch in float32."""
    return _encode(_sentence_transformer(model, limit_tokens)), "float32"


def load_sentence_transformers_bfloat16(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load sentence-transformers on torch in bfloat16."""
    import torch

    encoder = _sentence_transformer(model, limit_tokens, torch_dtype=torch.bfloat16)
    return _encode(encoder), "bfloat16"


def load_on_a_device(
    model: str, limit_tokens: int, device: str, bfloat16: bool, best_batch: bool
) -> tuple[Encode, str, str]:
    """Load sentence-transformers on a device.

    Args:
        model: Directory of the checkpoint.
        limit_tokens: Longest text in word pieces.
        device: A torch device.
        bfloat16: In bfloat16 rather than float32.
        best_batch: With the fastest of several sizes of a batch rather than the default.

    Returns:
        From texts to vectors; the arithmetic; and a remark with the size of a batch.
    """
    import torch

    arithmetic = "bfloat16" if bfloat16 else "float32"
    encoder = _sentence_transformer(
        model, limit_tokens, device=device, torch_dtype=getattr(torch, arithmetic)
    )
    size = _best_batch(encoder) if best_batch else _BATCH
    return _encode(encoder, size), arithmetic, f"{arithmetic}, batches of {size:,}"


def _best_batch(encoder: Any) -> int:
    texts = first_texts(None, "", 2048)

    def seconds(size: int) -> float:
        begin = time.perf_counter()
        encoder.encode(texts, batch_size=size, show_progress_bar=False)
        return time.perf_counter() - begin

    # Twice each: libraries prepare themselves for shapes that are new to them.
    return min((32, 128, 512, 2048), key=lambda size: min(seconds(size), seconds(size)))


def load_onnx(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load sentence-transformers on ONNX Runtime."""
    return _encode(_sentence_transformer(model, limit_tokens, "onnx", "onnx/*.onnx")), "float32"


def load_onnx_int8(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load the same with 8-bit weights, activations quantised at run time."""
    return _encode(_sentence_transformer(model, limit_tokens, "onnx", "onnx/*.onnx")), "int8"


def load_openvino(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load sentence-transformers on OpenVINO, which chooses the precision by itself."""
    encoder = _sentence_transformer(model, limit_tokens, "openvino", "openvino/*.xml")
    return _encode(encoder), _openvino_precision(encoder)


def load_openvino_int8(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load the same quantised to 8 bits beforehand, with calibration data."""
    encoder = _sentence_transformer(model, limit_tokens, "openvino", "openvino/*.xml")
    return _encode(encoder), "int8"


def _sentence_transformer(
    model: str,
    limit_tokens: int,
    backend: Any = "torch",
    pattern: str | None = None,
    device: str = "cpu",
    **model_options: Any,
) -> Any:
    from sentence_transformers import SentenceTransformer

    if pattern:
        (file,) = Path(model).glob(pattern)
        model_options["file_name"] = file.relative_to(model).as_posix()
    encoder = SentenceTransformer(
        model, device=device, backend=backend, local_files_only=True, model_kwargs=model_options
    )
    encoder.max_seq_length = limit_tokens
    return encoder


def _encode(encoder: Any, batch_size: int = _BATCH) -> Encode:
    def encode(texts: list[str]) -> Vectors:
        vectors = encoder.encode(texts, batch_size=batch_size, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    return encode


def _openvino_precision(encoder: Any) -> str:
    encoder.encode(["compile"])
    chosen = encoder[0].auto_model.request.get_property("INFERENCE_PRECISION_HINT").to_string()
    return {"bf16": "bfloat16"}.get(chosen, "float32")


def load_transformers(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load plain transformers on torch in float32: the model card's own recipe, in batches."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model, local_files_only=True)
    bert = AutoModel.from_pretrained(model, local_files_only=True, dtype=torch.float32).eval()

    def encode(texts: list[str]) -> Vectors:
        parts: list[Vectors] = []
        for begin in range(0, len(texts), _BATCH):
            inputs = tokenizer(
                texts[begin : begin + _BATCH],
                padding=True,
                truncation=True,
                max_length=limit_tokens,
                return_tensors="pt",
            )
            with torch.inference_mode():
                hidden = bert(**inputs).last_hidden_state  # (b, l, 384)
            mask = inputs["attention_mask"].unsqueeze(-1).float()
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
            parts.append(torch.nn.functional.normalize(mean, dim=1).numpy())
        return np.concatenate(parts)

    return encode, "float32"


def load_onnx_runtime(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load ONNX Runtime by itself, with the tokenizer and the batches of this package."""
    return _onnx_runtime(model, limit_tokens), "float32"


def load_onnx_runtime_int8(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load the same with 8-bit weights, activations quantised at run time."""
    return _onnx_runtime(model, limit_tokens), "int8"


def _onnx_runtime(model: str, limit_tokens: int) -> Encode:
    import onnxruntime

    from multiqa_integrations.backends import Compute
    from multiqa_integrations.batching import plan_batches
    from multiqa_integrations.tokenizer import WordPieceTokenizer

    (file,) = Path(model, "onnx").glob("*.onnx")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    wanted = {inlet.name for inlet in session.get_inputs()}
    tokenizer = WordPieceTokenizer(Path(model, "tokenizer.json"))
    ours = Compute("openvino", "float32", "cpu", "")
    sizes = {"batch_tokens": ours.batch_tokens, "max_texts": ours.batch_texts}

    def encode(texts: list[str]) -> Vectors:
        tokenized = tokenizer.encode(texts, max_length=limit_tokens)
        vectors = np.empty((len(texts), 384), np.float32)
        for rows in plan_batches(tokenized.lengths, **sizes):
            ids, mask = tokenized.pad(rows)
            given = {
                "input_ids": ids,
                "attention_mask": mask,
                "token_type_ids": np.zeros_like(ids),
            }
            (hidden, *_) = session.run(None, {name: given[name] for name in wanted})
            mean = np.einsum("blh,bl->bh", hidden, mask.astype(np.float32))
            vectors[rows] = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        return vectors

    return encode


def load_fastembed(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load fastembed with the ONNX export as a custom model.

    It reads the longest text from the tokenizer's files, which say less than the model can, so it
    gets copies that say the limit of the run.
    """
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType

    name = "multiqa-bench/custom"
    TextEmbedding.add_custom_model(
        model=name,
        pooling=PoolingType.MEAN,
        normalization=True,
        sources=ModelSource(hf=name),  # asked for, but not used: the files are here
        dim=384,
        model_file="onnx/model.onnx",
    )
    with tempfile.TemporaryDirectory(prefix="multiqa-bench-") as folder:
        copy = Path(folder, "model")
        shutil.copytree(model, copy)
        # Older releases take the limit from the first file, newer ones from the second.
        _change(copy / "tokenizer.json", truncation=_truncation(limit_tokens))
        _change(
            copy / "tokenizer_config.json", max_length=limit_tokens, model_max_length=limit_tokens
        )
        encoder = TextEmbedding(name, specific_model_path=str(copy))  # reads everything now

    def encode(texts: list[str]) -> Vectors:
        return np.array(list(encoder.embed(texts)), np.float32)  # its own batches of 256

    return encode, "float32"


def _truncation(limit_tokens: int) -> dict[str, Any]:
    return {
        "direction": "Right",
        "max_length": limit_tokens,
        "strategy": "LongestFirst",
        "stride": 0,
    }


def _change(file: Path, **values: Any) -> None:
    old = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(old | values), encoding="utf-8")


def load_langchain(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load the embeddings of langchain-huggingface."""
    embeddings = langchain_embeddings(model, limit_tokens)
    return lambda texts: np.array(embeddings.embed_documents(texts), np.float32), "float32"


def langchain_embeddings(model: str, limit_tokens: int) -> Any:
    """Make LangChain's `HuggingFaceEmbeddings` on the processor."""
    from langchain_huggingface import HuggingFaceEmbeddings

    embeddings = HuggingFaceEmbeddings(
        model_name=model, model_kwargs={"device": "cpu", "local_files_only": True}
    )
    embeddings._client.max_seq_length = limit_tokens
    return embeddings


def load_llama_index(model: str, limit_tokens: int) -> tuple[Encode, str]:
    """Load the embedding of llama-index-embeddings-huggingface."""
    embedding = llama_index_embedding(model, limit_tokens)
    return (
        lambda texts: np.array(embedding.get_text_embedding_batch(texts), np.float32)
    ), "float32"


def llama_index_embedding(model: str, limit_tokens: int) -> Any:
    """Make LlamaIndex's `HuggingFaceEmbedding` on the processor."""
    from llama_index.embeddings.huggingface import HuggingFaceEmbedding

    return HuggingFaceEmbedding(
        model_name=model, device="cpu", max_length=limit_tokens, local_files_only=True
    )


LOADERS: dict[str, Callable[[str, int], tuple[Encode, str]]] = {
    "sentence-transformers": load_sentence_transformers,
    "sentence-transformers bfloat16": load_sentence_transformers_bfloat16,
    "sentence-transformers onnx": load_onnx,
    "sentence-transformers onnx int8": load_onnx_int8,
    "sentence-transformers openvino": load_openvino,
    "sentence-transformers openvino int8": load_openvino_int8,
    "onnxruntime, our batches": load_onnx_runtime,
    "onnxruntime int8, our batches": load_onnx_runtime_int8,
    "fastembed": load_fastembed,
    "transformers": load_transformers,
    "langchain-huggingface": load_langchain,
    "llama-index-embeddings-huggingface": load_llama_index,
}
