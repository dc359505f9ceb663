"""Delayed deletion: removing the data of images that were deleted, and taking a deletion back."""
