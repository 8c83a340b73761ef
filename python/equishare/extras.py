"""How to install what equishare can do without."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname


def installing(extra: str) -> str:
    """The command that installs an extra, from where equishare itself was installed: a folder, a file or an index."""
    try:
        origin = json.loads(distribution("equishare").read_text("direct_url.json") or "{}")
    except PackageNotFoundError:
        origin = {}
    url, editable = origin.get("url", ""), origin.get("dir_info", {}).get("editable")
    if not url:
        return f"pip install 'equishare[{extra}]'"
    if "dir_info" not in origin:  # a wheel or an archive, a repository
        kind = f"{origin['vcs_info']['vcs']}+" if "vcs_info" in origin else ""
        return f"pip install 'equishare[{extra}] @ {kind}{url}'"
    folder = Path(url2pathname(urlparse(url).path))
    return f"pip install {'-e ' if editable else ''}{shlex.quote(f'{folder}[{extra}]')}"
