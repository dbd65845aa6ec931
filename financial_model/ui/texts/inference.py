"""The texts of this tab: key -> (Chinese, English)."""

TEXTS: dict[str, tuple[str, str]] = {}
