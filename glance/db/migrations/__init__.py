"""The schema's revisions; ``README.rst`` beside this file tells how to add one."""
