"""What is said where the disk refuses."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from multiqa_integrations.training.room import room, write_error


def test_the_room_that_is_needed_and_the_room_there_is(tmp_path: Path) -> None:
    told = room(tmp_path / "not" / "there", 90_000_000)
    assert told.startswith("A training needs up to 540 MB there in all, and ")
    assert told.endswith(" MB are free now.")


@pytest.mark.parametrize(
    ("number", "cure"),
    [
        (errno.ENOSPC, "MB are free now. Make room, and go on."),
        (errno.EDQUOT, "MB are free now. Make room, and go on."),
        (errno.EACCES, "). Let this user write there, and go on."),
        (errno.EROFS, "). Let this user write there, and go on."),
        (errno.EFBIG, "). Put that right, and go on."),
        (errno.EIO, "). Put that right, and go on."),
    ],
)
def test_each_fault_has_its_cure(number: int, cure: str, tmp_path: Path) -> None:
    fault = OSError(number, os.strerror(number), "file")
    message = str(write_error("a file cannot be written", fault, tmp_path, 1, again="go on"))
    assert message.startswith(f"a file cannot be written ({os.strerror(number)}). ")
    assert message.endswith(cure)
    assert ("A training needs" in message) == (number in (errno.ENOSPC, errno.EDQUOT))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_what_the_libraries_tell(tmp_path: Path) -> None:
    """The libraries' own errors: of a folder that is not there, and of a full device."""
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    tensor = torch.zeros(1_000_000)

    def told(error: Exception) -> str:
        return str(write_error("it cannot be written", error, tmp_path, 1, again="go on"))

    with pytest.raises(Exception, match="os error") as raised:
        safetensors.save_file({"a": tensor}, tmp_path / "none" / "a.safetensors")
    assert told(raised.value) == (
        "it cannot be written (No such file or directory). Put that right, and go on."
    )
    with pytest.raises(RuntimeError) as raised:
        torch.save(tensor, "/proc/a")
    assert told(raised.value) == (
        "it cannot be written (No such file or directory). Put that right, and go on."
    )
    with pytest.raises(RuntimeError) as raised:
        torch.save(tensor, "/dev/full")
    assert "Make room, and go on." in told(raised.value)
    with pytest.raises(OSError, match="No space left") as full, Path("/dev/full").open("w") as file:
        file.write("a")
    assert "(No space left on device). A training needs" in told(full.value)
