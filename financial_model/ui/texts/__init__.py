"""The texts of the page, one file a tab: key -> (Chinese, English)."""

from . import download, errors, evaluation, frame, inference, runs, story, system, training, universe

TABLES = (
    frame.TEXTS,
    errors.TEXTS,
    download.TEXTS,
    universe.TEXTS,
    training.TEXTS,
    inference.TEXTS,
    evaluation.TEXTS,
    runs.TEXTS,
    system.TEXTS,
    story.TEXTS,
)
