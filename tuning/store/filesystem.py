"""Whether a folder is on a file system that several machines share."""

from __future__ import annotations

import os
import pathlib
import re

MOUNTS = pathlib.Path("/proc/self/mounts")  # of Linux

_SHARED = re.compile(r"(fuse\.)?(nfs\d?|cifs|smb\w*|afs|ceph|gpfs|lustre|beegfs|glusterfs|ocfs2|gfs2|sshfs|juicefs)")


def shared_filesystem(path: str | os.PathLike) -> str | None:
    """The kind of the file system that a path is on, such as `nfs4`, if machines share it; `None` if not, or nobody knows."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    resolved, kind, longest = pathlib.Path(path).resolve(), "", -1
    for line in lines:
        _, mounted, this, *_ = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), mounted)  # a space is \040
        if len(point) >= longest and resolved.is_relative_to(point):  # of two at one point the later one hides the other
            kind, longest = this, len(point)
    return kind if _SHARED.fullmatch(kind) else None
