"""How good a forecast was, told to a sceptic."""
