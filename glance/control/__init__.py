"""Starting, watching and stopping the daemons, for ``glance-control``."""

#: Variables by which a server that is started is told the numbers of its descriptors: where it
#: reports its start, and where its output goes.
STATUS_FD = "GLANCE_CONTROL_STATUS_FD"
OUTPUT_FD = "GLANCE_CONTROL_OUTPUT_FD"
