"""A torch device, checked before anything is loaded."""

from __future__ import annotations

import torch

from multiqa_integrations.errors import ConfigurationError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def open_device(device: str, *, threads: int | None, forked: bool) -> torch.device:
    """Check that torch can use a device here, and set how many threads it may use.

    Args:
        device: A torch device, such as "cpu", "cuda:1" or "mps".
        threads: Processors to use on "cpu"; torch keeps this for the whole process.
        forked: This process was forked from one that had torch loaded.

    Returns:
        The device, for CUDA with its number: the current one where none was given.

    Raises:
        ConfigurationError: torch cannot use it here.
    """
    try:
        parsed = torch.device(device)
        if forked and parsed.type != "cpu":
            raise ConfigurationError(
                f"the device {device!r} cannot be used in a forked process once torch is loaded. "
                "Start workers with multiprocessing's 'spawn' method."
            )
        if parsed.type == "cuda" and parsed.index is None:
            # Each thread has a current device of its own, and new ones begin with the first.
            parsed = torch.device("cuda", torch.cuda.current_device())
        torch.zeros(1, device=parsed).cpu()
    except (RuntimeError, AssertionError) as error:
        # torch raises AssertionError where it was built without CUDA.
        raise ConfigurationError(
            f"torch {torch.__version__} cannot use the device {device!r} here: "
            f"{first_sentence(error)} Use device='cpu' or 'auto' (--device)."
        ) from error
    if forked:  # torch's thread pool did not survive the fork; waiting for it would hang
        torch.set_num_threads(1)
    elif threads and parsed.type == "cpu":
        torch.set_num_threads(threads)
    return parsed


def first_sentence(error: Exception) -> str:
    """Return the first line of torch's message, with a full stop."""
    return f"{str(error).splitlines()[0].rstrip('. ')}."


def device_name(device: str) -> str:
    """Return the model name of a GPU, or what torch calls another device."""
    parsed = torch.device(device)
    return torch.cuda.get_device_name(parsed) if parsed.type == "cuda" else parsed.type
