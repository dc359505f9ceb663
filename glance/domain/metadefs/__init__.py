"""Metadata definitions: which properties there are, what they mean and on what they go.

Pure rules, for the API and for the files that ``glance-manage`` loads and writes.
"""
