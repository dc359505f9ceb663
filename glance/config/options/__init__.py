"""Every configuration option, declared by subject.

Each module holds ``OPTIONS``, a mapping of group name to declarations, and ``CLI``, the names out
of ``[DEFAULT]`` that can be given on the command line too. Only options that do something are
declared; others in an operator's file are passed over.
"""
