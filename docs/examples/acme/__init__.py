"""A store driver of a third party."""
