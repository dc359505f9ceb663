"""The image service: a catalogue of machine images, their bytes, and the programs round them."""

__version__ = "1.0.0"
