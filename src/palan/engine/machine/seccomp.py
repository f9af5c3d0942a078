"""Seccomp: the engine's default profile, and filters compiled ahead of the runtime."""

from pathlib import Path
from typing import Any

from palan.api.errors import InvalidParameter
from palan.host.seccomp_bpf import ANNOTATION, SeccompCompiler


__all__ = ["SeccompFilters", "read_default_profile"]


def read_default_profile(profile: str) -> str:
    """Return the engine's default profile: ``builtin``, ``unconfined`` or the text of a file.

    Args:
        profile: the value of ``seccomp-profile``.

    Raises:
        InvalidParameter: the file can't be read.
    """
    if profile in ("", "builtin", "unconfined"):
        return profile or "builtin"
    try:
        return Path(profile).read_text()
    except OSError as error:
        raise InvalidParameter(f"opening seccomp profile ({profile}) failed: {error}") from None


class SeccompFilters:
    """Compiles the filters of containers' profiles, and keeps them in a directory."""

    def __init__(self, directory: Path) -> None:
        self._compiler = SeccompCompiler(directory)

    def add_to(self, spec: dict[str, Any]) -> None:
        """Add the compiled filter to a runtime spec.

        The profile stays in the spec, for a runtime that does not know the annotation.
        Blocking: some milliseconds for a profile that was not compiled before.
        """
        profile = spec["linux"].get("seccomp")
        annotations: dict[str, str] = spec.get("annotations", {})
        # crun reads the profile itself if an annotation of the user's says how to read it.
        if profile is None or any(key.startswith("run.oci.seccomp") for key in annotations):
            return
        program = self._compiler.compile(profile)
        if program is not None:
            spec["annotations"] = {**annotations, ANNOTATION: program}
