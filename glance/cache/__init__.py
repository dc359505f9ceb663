"""A node's own copies of images, so that many downloads cost the store one."""
