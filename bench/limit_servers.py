"""Run the bare Twisted and Klein servers of the limits: ``limit_servers.py PORT FILES SCRATCH``.

A program of its own, run by an interpreter that has Twisted and Klein; ``bench`` itself needs
neither.  Four ports from PORT on: plain twisted.web with a tiny JSON resource and static files; a
site that discards what is PUT to it; one that hashes and writes it, all in the reactor; Klein.
"""

import hashlib
import sys
import tempfile

from klein import Klein
from twisted.internet import reactor
from twisted.web import resource, server, static

BODY = b'{"images": [], "schema": "/v2/schemas/images"}'


class Tiny(resource.Resource):
    """The least a JSON resource can be."""

    isLeaf = True

    def render_GET(self, request):
        request.setHeader(b"content-type", b"application/json")
        return BODY


class DiscardingRequest(server.Request):
    """A request whose body is consumed as it comes, never spooled."""

    def gotLength(self, length):
        super().gotLength(0)

    def handleContentChunk(self, data):
        pass

    def process(self):
        self.done()
        self.setResponseCode(204)
        self.finish()

    def done(self):
        pass


class HashingRequest(DiscardingRequest):
    """The same, with the work an upload needs: two hashes and a file."""

    scratch = "."

    def gotLength(self, length):
        super().gotLength(length)
        self.hashes = hashlib.md5(usedforsecurity=False), hashlib.sha512()
        self.out = tempfile.TemporaryFile(dir=self.scratch, buffering=0)  # noqa: SIM115

    def handleContentChunk(self, data):
        for running in self.hashes:
            running.update(data)
        self.out.write(data)

    def done(self):
        self.out.close()


def main(port, files, scratch):
    """Listen on the four ports and serve until ended."""
    HashingRequest.scratch = scratch
    root = resource.Resource()
    root.putChild(b"tiny", Tiny())
    root.putChild(b"files", static.File(files))
    plain, discarding, hashing = server.Site(root), server.Site(root), server.Site(root)
    discarding.requestFactory = DiscardingRequest
    hashing.requestFactory = HashingRequest

    app = Klein()

    @app.route("/tiny")
    def tiny(request):
        request.setHeader(b"content-type", b"application/json")
        return BODY

    # Klein first: the last port to open tells that all are.
    sites = [plain, discarding, hashing, server.Site(app.resource())]
    for offset in reversed(range(len(sites))):
        reactor.listenTCP(port + offset, sites[offset], interface="127.0.0.1", backlog=128)
    reactor.run()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
