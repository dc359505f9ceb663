"""What ``glance-status`` looks at before an upgrade."""
