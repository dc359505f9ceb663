"""The catalogue's revisions, under the names the OpenStack Glance project gave them."""
