"""What every request gets: an id, an identity, an answer whatever happens."""

from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.test.requesthelper import DummyRequest

from glance.api.routing import NO_CONTENT, Dispatcher, Reply, Route, json_reply, media_type
from glance.domain.correlation import Correlation
from glance.domain.errors import NotFound, Unavailable
from glance.identity.context import Identity, RequestContext
from glance.stores.errors import RemoteUnavailable, StoreTimeout, WriteDenied


class Request(DummyRequest):
    """A request in memory that reads its headers as the service's own do."""

    correlation = None
    startedWriting = False
    path = b"/v2/images"
    lost = False

    def __init__(self, **headers):
        super().__init__([b"x"])
        self.requestHeaders = Headers({k.replace("_", "-"): [v] for k, v in headers.items()})

    def getHeader(self, name):
        return (self.requestHeaders.getRawHeaders(name) or [None])[-1]

    def setResponseCode(self, code, message=None):
        super().setResponseCode(code, message)
        self.code = code

    def loseConnection(self):
        self.lost = True


class Authenticator:
    def __init__(self, **context):
        self.seen = []
        self.context = context

    def authenticate(self, headers, request_id, method, path):
        self.seen.append(request_id)
        return RequestContext(request_id=request_id, **self.context)


class SlowAuthenticator(Authenticator):
    def authenticate(self, headers, request_id, method, path):
        return succeed(super().authenticate(headers, request_id, method, path))


class TestDispatcher(SynchronousTestCase):
    def setUp(self):
        self.authenticator = Authenticator(is_admin=True)
        self.calls = []
        self.result = NO_CONTENT
        self.request = Request()

    async def handle(self, request, context, **parts):
        self.calls.append((context, parts))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def ask(self, method="GET", *, no_body=False, **parts):
        dispatcher = Dispatcher(self.authenticator, 64)
        dispatch = dispatcher.endpoint(self.handle, Route(method, "/x", no_body))
        return self.successResultOf(ensureDeferred(dispatch(self.request, **parts)))

    def header(self, name):
        return (self.request.responseHeaders.getRawHeaders(name) or [None])[-1]

    def test_handler_is_given_context_and_parts_of_the_path(self):
        self.ask(image_id="some")
        [(context, parts)] = self.calls
        self.assertTrue(context.is_admin)
        self.assertEqual(parts, {"image_id": "some"})

    def test_reply_is_written(self):
        self.result = json_reply({"a": 1}, 201, ("Location", "there"))
        self.assertEqual(self.ask(), b'{"a":1}')
        self.assertEqual(self.request.code, 201)
        self.assertEqual(self.header("Content-Type"), "application/json")
        self.assertEqual(self.header("Content-Length"), "7")
        self.assertEqual(self.header("Location"), "there")

    def test_handler_that_has_answered_by_itself_adds_nothing(self):
        self.result = None
        self.assertIsNone(self.ask())

    def test_answers_without_a_body_have_no_length(self):
        for status in (204, 304):
            self.result = Reply(status, content_type=None)
            self.assertEqual(self.ask(), b"")
            self.assertEqual(self.request.code, status)
            self.assertIsNone(self.header("Content-Length"))
            self.assertIsNone(self.header("Content-Type"))

    def test_request_id_is_the_same_everywhere(self):
        self.request = Request(x_openstack_request_id="mine")
        self.ask()
        self.assertEqual(self.header("x-openstack-request-id"), "req-mine")
        self.assertEqual(self.authenticator.seen, ["req-mine"])
        self.assertEqual(self.calls[0][0].request_id, "req-mine")
        self.assertEqual(self.request.correlation, Correlation("req-mine"))

    def test_request_id_that_is_too_long_is_refused_before_anything_else(self):
        self.request = Request(x_openstack_request_id="x" * 65)
        self.ask()
        self.assertEqual(self.request.code, 431)
        self.assertEqual(self.calls, [])
        name = self.header("x-openstack-request-id")
        self.assertTrue(name.startswith("req-"))
        self.assertNotIn("x", name.removeprefix("req-"))

    def test_answers_are_compressed_where_that_is_wanted(self):
        async def compress(request, reply):
            return Reply(reply.status, b"small", headers=(("Content-Encoding", "x"),))

        dispatcher = Dispatcher(self.authenticator, 64, compress)
        dispatch = dispatcher.endpoint(self.handle, Route("GET", "/x"))
        self.result = json_reply({"a": 1}, 201)
        self.assertEqual(self.successResultOf(ensureDeferred(dispatch(self.request))), b"small")
        self.assertEqual(self.header("Content-Length"), "5")
        self.assertEqual(self.header("Content-Encoding"), "x")
        self.result = None
        self.assertIsNone(self.successResultOf(ensureDeferred(dispatch(self.request))))

    def test_empty_accept_header_is_answered_in_json(self):
        self.request = Request(Accept="")
        self.result = NotFound("not this")
        self.assertIn(b'"message":"not this"', self.ask())

    def test_caller_is_named_in_the_log(self):
        self.authenticator = SlowAuthenticator(identity=Identity(user_id="u", project_id="p"))
        self.request = Request(x_openstack_request_id="req-1")
        self.ask()
        self.assertEqual(self.request.correlation, Correlation("req-1", user="u", project="p"))
        self.assertEqual(len(self.calls), 1)

    def test_log_knows_more_of_the_caller(self):
        identity = Identity(
            user_id="u",
            user_domain_id="ud",
            project_id="p",
            project_domain_id="pd",
            domain_id="d",
            system_scope="all",
        )
        self.authenticator = Authenticator(identity=identity)
        self.request = Request(x_openstack_request_id="req-1")
        self.ask()
        self.assertEqual(
            self.request.correlation,
            Correlation(
                "req-1",
                user="u",
                project="p",
                domain="d",
                system_scope="all",
                user_domain="ud",
                project_domain="pd",
            ),
        )

    def test_anonymous_caller_may_look(self):
        self.authenticator = Authenticator(read_only=True)
        for method in ("GET", "HEAD"):
            self.ask(method)
        self.assertEqual(len(self.calls), 2)

    def test_anonymous_caller_may_not_change_anything(self):
        self.authenticator = Authenticator(read_only=True)
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            self.request = Request()
            self.assertIn(b"look", self.ask(method))
            self.assertEqual(self.request.code, 403)
        self.assertEqual(self.calls, [])

    def test_body_where_none_belongs(self):
        for headers, status in [
            ({"content_length": "5"}, 400),
            ({"transfer_encoding": "chunked"}, 400),
            ({"content_length": "0"}, 204),
        ]:
            self.request = Request(**headers)
            self.ask(no_body=True)
            self.assertEqual(self.request.code, status)
        self.assertEqual(len(self.calls), 1)

    def test_errors_of_the_domain_become_answers(self):
        self.result = NotFound("No such thing.")
        self.request = Request(accept="application/json")
        self.assertIn(b'"No such thing."', self.ask())
        self.assertEqual(self.request.code, 404)

    def test_what_passes_says_when_to_try_again(self):
        self.result = Unavailable("Not now.")
        self.ask()
        self.assertEqual(self.request.code, 503)
        self.assertGreater(int(self.header("Retry-After")), 0)

    def test_store_that_does_not_answer_says_so_too(self):
        for error in (StoreTimeout("Slow."), RemoteUnavailable("Away."), WriteDenied("Full.")):
            self.request = Request()
            self.result = error
            self.ask()
            self.assertEqual(self.request.code, 503)
            self.assertGreater(int(self.header("Retry-After")), 0)

    def test_what_nobody_foresaw_is_logged_and_not_told(self):
        self.result = RuntimeError("secret")
        self.assertNotIn(b"secret", self.ask())
        self.assertEqual(self.request.code, 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_answer_that_has_begun_is_cut_and_not_completed(self):
        self.result = Unavailable("The disk is gone.")
        self.request.startedWriting = True
        self.assertIsNone(self.ask())
        self.assertTrue(self.request.lost)

    def test_cancelled_request_is_not_answered(self):
        waiting = Deferred()
        self.authenticator.authenticate = lambda *_: waiting
        dispatch = Dispatcher(self.authenticator, 64).endpoint(
            self.handle, Route("GET", "/x", False)
        )
        asked = ensureDeferred(dispatch(self.request))
        asked.cancel()
        self.failureResultOf(asked)
        self.assertEqual((self.calls, self.request.written), ([], []))


class TestMediaType(SynchronousTestCase):
    def test_parameters_and_case_do_not_matter(self):
        self.assertEqual(media_type(Request(content_type="Text/JSON ; charset=x")), "text/json")
        self.assertEqual(media_type(Request()), "")
