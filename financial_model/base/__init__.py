"""Settings, errors, progress, workspace: what every floor above leans on."""
