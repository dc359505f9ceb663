"""Starting, watching and stopping the daemons, for ``glance-control``."""
