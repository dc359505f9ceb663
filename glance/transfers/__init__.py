"""Moving image bytes between a caller and a store, and putting right what was interrupted."""
