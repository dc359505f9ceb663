"""What an image is and what may happen to it: pure rules, without I/O, Twisted or SQL."""
