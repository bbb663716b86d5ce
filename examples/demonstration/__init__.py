"""What the demonstrations have in common: how they look, begin and end."""
