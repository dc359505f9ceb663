"""The Image API v2 over HTTP: resources, request streaming, errors as answers."""
