"""Long-running services: what twistd and the console programs start and stop."""
