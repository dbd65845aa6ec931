"""Settings of trainings that a person keeps in the workspace under a name of their own."""

from ..base.config import TrainSettings
from ..base.errors import DamagedFile
from ..base.workspace import Workspace, check_name, read_json, write_json

SAVED_DIR = "settings"


def save_settings(workspace: Workspace, settings: TrainSettings) -> str:
    """Write them under the name they give their checkpoints; where they lie, seen from the workspace."""
    path = workspace.inside(f"{SAVED_DIR}/{check_name(settings.name)}.json")
    write_json(path, settings.to_json())
    return f"{SAVED_DIR}/{path.name}"


def load_settings(workspace: Workspace, name: str) -> TrainSettings:
    """The settings saved under that name; DamagedFile where there are none."""
    path = workspace.inside(f"{SAVED_DIR}/{check_name(name)}.json")
    if not path.is_file():
        raise DamagedFile(path, "it is not there", "Save it again.")
    return TrainSettings.from_json(read_json(path))


def list_saved(workspace: Workspace) -> list[str]:
    """Names of settings that were saved in this workspace."""
    try:
        return sorted(path.stem for path in (workspace.root / SAVED_DIR).glob("*.json"))[:200]
    except OSError:
        return []
