"""The options that commands share, and what their values mean: settings, lists, files."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from ..base.config import Settings
from ..base.errors import BadSetting
from ..base.workspace import Workspace, read_json, user_path

S = TypeVar("S", bound=Settings)

WorkspaceDir = Annotated[Path, typer.Option("--workspace", help="The folder everything lies under.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", "--settings", help="A JSON of settings; options win over it."),
]
JobDir = Annotated[
    Path | None,
    typer.Option("--job", help="A folder for events and result; a file 'stop' in it stops."),
]
Codes = Annotated[str | None, typer.Option("--codes", help="Codes separated by commas: SH600519,000001.SZ.")]
Stocks = Annotated[
    str | None, typer.Option("--codes", help="Codes or names separated by commas: SH600519,000001.SZ.")
]
First = Annotated[str | None, typer.Option("--from", help="First as-of session, such as 2018-01-02.")]
Last = Annotated[str | None, typer.Option("--to", help="Last as-of session.")]
Checkpoint = Annotated[
    str | None, typer.Option("--checkpoint", help="A .pt file, or a pattern (newest match).")
]
OutFile = Annotated[str | None, typer.Option("--out", help="Where to write the result as a file.")]


def only_given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def split(text: str | None) -> list[str] | None:
    return [part.strip() for part in text.replace("，", ",").split(",") if part.strip()] if text else None


def from_here(path: str | None) -> str | None:
    """A file that a person at the shell names lies relative to where they stand."""
    return str(user_path(path).absolute()) if path else None


def newest_match(pattern: str | None, workspace: Path) -> str | None:
    """The file itself, or the newest that matches, seen from here and then from the workspace."""
    if pattern is None:
        return None
    for root in (Path.cwd(), Workspace(workspace).root):
        path = root / user_path(pattern)
        if path.exists():
            return str(path)
        if any(sign in pattern for sign in "*?["):
            anchor = Path(path.anchor)
            try:
                matches = sorted(
                    anchor.glob(str(path.relative_to(anchor))), key=lambda match: match.stat().st_mtime
                )
            except (ValueError, NotImplementedError) as error:
                raise BadSetting("checkpoint", pattern[:200], f"a file or a pattern ({error})") from None
            if matches:
                return str(matches[-1])
    return pattern


def settings_of(kind: type[S], config: Path | None, **options: Any) -> S:
    """Settings from a file, then from the options that were given."""
    values: dict[str, Any] = {}
    if config is not None:
        config = user_path(config)
        if not config.is_file():
            raise BadSetting("config", str(config), "a JSON file of settings")
        values = read_json(config)
        if not isinstance(values, dict):
            raise BadSetting("config", str(config), "a JSON object of settings")
    return kind.from_json(_over(values, only_given(**options)))


def _over(values: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """The values with what was given in their place, nested ones too."""
    joint = dict(values)
    for name, value in given.items():
        both = isinstance(value, dict) and isinstance(values.get(name), dict)
        joint[name] = _over(values[name], value) if both else value
    return joint
