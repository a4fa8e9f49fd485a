"""What the worker of an export does: turn the checkpoint into the form that a peer reads.

By sentence-transformers' own means, in the peer's own Python
(https://sbert.net/docs/sentence_transformer/usage/efficiency.html).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def export(
    *, implementation: str, model: str, limit_tokens: int, folder: str, texts: str
) -> dict[str, Any]:
    """Write the weights in another form.

    Args:
        implementation: A name in `implementations.EXPORTS`.
        model: Directory of the checkpoint.
        limit_tokens: Unused: the exports take texts of any length.
        folder: An empty folder that becomes a directory which sentence-transformers can load.
        texts: JSON lines with the field "text", to calibrate a quantisation with.
    """
    backend: Any
    backend, _, int8 = implementation.partition("-")
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(
        model, device="cpu", backend=backend, local_files_only=True, model_kwargs={"export": True}
    )
    encoder.save_pretrained(folder)
    if int8:
        _QUANTISE[backend](encoder, Path(folder), texts)
    return {}


def _quantise_onnx(encoder: Any, folder: Path, texts: str) -> None:
    from sentence_transformers import export_dynamic_quantized_onnx_model

    export_dynamic_quantized_onnx_model(encoder, _onnx_target(), str(folder))
    (folder / "onnx" / "model.onnx").unlink()  # so that the quantised one is the only one


def _onnx_target() -> str:
    import platform

    from multiqa_integrations.backends.cpu import cpu_features

    if platform.machine() in ("aarch64", "arm64"):
        return "arm64"
    features = cpu_features()
    if "avx512_vnni" in features:
        return "avx512_vnni"
    return "avx512" if "avx512f" in features else "avx2"


def _quantise_openvino(encoder: Any, folder: Path, texts: str) -> None:
    from sentence_transformers import export_static_quantized_openvino_model

    # Its default for calibration has to be fetched; these texts are here.
    export_static_quantized_openvino_model(
        encoder,
        quantization_config=None,
        model_name_or_path=str(folder),
        dataset_name=str(Path(texts).parent),
        dataset_config_name="default",
        dataset_split="train",
        column_name="text",
    )
    for file in (folder / "openvino").glob("openvino_model.*"):
        file.unlink()


_QUANTISE: dict[str, Callable[[Any, Path, str], None]] = {
    "onnx": _quantise_onnx,
    "openvino": _quantise_openvino,
}
