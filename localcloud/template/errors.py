"""What is wrong with a template, named so that a person can go there.

Owns the one error of this folder; knows nothing of files, handlers or AWS.
"""

from __future__ import annotations

from sluiceway.errors import Misconfigured

__all__ = ["TemplateError", "join_path"]


class TemplateError(Misconfigured):
    """The template, or a parameter given to it, makes no sense.

    `where` is the dotted path inside the template (`JobsQueue.Properties.VisibilityTimeout`, `Outputs.ApiUrl`), or the
    file and line where it cannot even be parsed. `detail` is the sentence without the path.
    """

    def __init__(self, detail: str, *, where: str) -> None:
        super().__init__(f"{where}: {detail}" if where else detail, what=where)
        self.where = where
        self.detail = detail


def join_path(path: str, key: str | int) -> str:
    """One step deeper: `a.b` and `c` give `a.b.c`, `a.b` and 0 give `a.b[0]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    return f"{path}.{key}" if path else key
