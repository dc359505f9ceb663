"""Where image bytes are kept: the driver interface, the drivers and the front that picks one."""
