"""The console programs: parse, call, print, exit code."""
