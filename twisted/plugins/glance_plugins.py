"""The services that twistd can run."""

from twisted.application.service import ServiceMaker

glance_api = ServiceMaker(
    "OpenStack Image API",
    "glance.services.tap",
    "Serve machine images over the Image API v2.",
    "glance-api",
)

glance_scrubber = ServiceMaker(
    "OpenStack Image scrubber",
    "glance.services.scrubber_tap",
    "Delete the data of deleted images.",
    "glance-scrubber",
)

glance_cache = ServiceMaker(
    "OpenStack Image cache",
    "glance.services.cache_tap",
    "Clean, prune and fill this node's image cache.",
    "glance-cache",
)

glance_replicator = ServiceMaker(
    "OpenStack Image replicator",
    "glance.services.replicator_tap",
    "Keep two image services in step, or a dump up to date.",
    "glance-replicator",
)
