"""The hub's cache on disk: which files a checkpoint needs, and what of it is there."""

from __future__ import annotations

from pathlib import Path

from multiqa_integrations.errors import ModelError
from multiqa_integrations.model import is_folder_name
from multiqa_integrations.reading import read_json

# huggingface_hub takes more than 0.1 s to import and a directory does not need it: every
# function below imports it itself.

WEIGHTS = "model.safetensors"
REQUIRED = ("config.json", "modules.json", "tokenizer.json", WEIGHTS)
OPTIONAL = (
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)


def missing_files(directory: Path) -> list[str]:
    """List the files that `directory` lacks to be a checkpoint."""
    needed = list(REQUIRED)
    try:
        pooling = read_json(directory / "modules.json")[1]["path"] or "1_Pooling"
        if is_folder_name(pooling):
            needed.append(f"{pooling}/config.json")
    except (OSError, ModelError, TypeError, LookupError):
        pass  # ModelSpec says what is wrong with a damaged modules.json
    return [path for path in needed if not (directory / path).is_file()]


def cache_directory(cache_folder: Path | None) -> Path:
    """Return the hub cache: the folder given, or where HF_HOME says."""
    from huggingface_hub import constants

    return cache_folder or Path(constants.HF_HUB_CACHE)


def cached_snapshot(repository: str, revision: str, cache_folder: Path | None) -> Path | None:
    """Find a revision in the hub cache, complete or not, without the network.

    Raises:
        ModelError: The cache cannot be read.
    """
    from huggingface_hub import try_to_load_from_cache

    cache = cache_directory(cache_folder)
    try:
        for path in REQUIRED:
            file = try_to_load_from_cache(repository, path, cache_dir=cache, revision=revision)
            if isinstance(file, str):
                return Path(file).parent
    except OSError as error:
        raise ModelError(f"the hub cache {cache} cannot be read: {error}.") from error
    return None


def cached_commits(repository: str, cache_folder: Path | None) -> list[str]:
    """List the commits of a repository that the hub cache has at least in part."""
    folder = repository_folder(repository, cache_directory(cache_folder))
    try:
        return sorted(path.name for path in (folder / "snapshots").iterdir())
    except OSError:
        return []


def repository_folder(repository: str, cache: Path) -> Path:
    """Return where the hub cache keeps a repository; the layout is the hub library's."""
    return cache / f"models--{repository.replace('/', '--')}"
