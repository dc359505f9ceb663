"""Other image services: what our programs ask of them over HTTP."""
