"""The decoder takes what Twisted's takes and refuses what it refuses, however the data is cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.web.http import (
    _ChunkedTransferDecoder,
    _MalformedChunkedDataError,
    maxChunkSizeLineLength,
)

from glance.api.chunked import SMALL, ChunkedDecoder


def decode(make, pieces):
    """Return body, what came after it, and whether the data was refused."""
    body, after = bytearray(), []
    decoder = make(body.extend, after.append)
    try:
        for piece in pieces:
            if after:
                after.append(piece)
            else:
                decoder.dataReceived(piece)
    except _MalformedChunkedDataError:
        return bytes(body), after, True
    return bytes(body), [b"".join(after)] if after else [], False


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in zip(edges, edges[1:], strict=False) if a < b]


chunks = st.lists(st.binary(min_size=1, max_size=300), max_size=8)
extensions = st.sampled_from([b"", b";a", b";name=value", b';q="x y"'])
trailers = st.sampled_from([b"", b"X-Sum: 1\r\n", b"A: b\r\nC: d\r\n"])
places = st.lists(st.integers(0, 10_000), max_size=12)


@given(chunks, extensions, trailers, st.sampled_from([b"", b"GET / HTTP/1.1\r\n\r\n"]), places)
def test_any_cut_gives_the_body_and_what_follows(parts, extension, trailer, following, where):
    wire = b"".join(b"%x%s\r\n%s\r\n" % (len(p), extension, p) for p in parts)
    wire += b"0%s\r\n%s\r\n" % (extension, trailer) + following
    body, after, refused = decode(ChunkedDecoder, cut(wire, where))
    assert (body, after, refused) == (b"".join(parts), [following], False)


@given(chunks, places, st.integers(0, 4000), st.binary(min_size=1, max_size=3), places)
def test_damaged_data_is_judged_as_by_twisted(parts, where, place, damage, elsewhere):
    wire = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n\r\n"
    place %= len(wire)
    wire = wire[:place] + damage + wire[place + 1 :]
    ours = decode(ChunkedDecoder, cut(wire, where))
    theirs = decode(_ChunkedTransferDecoder, cut(wire, elsewhere))
    assert ours == theirs


@pytest.mark.parametrize(
    "wire",
    [
        b"z\r\n",
        b"-1\r\nx",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5;\x00\r\nhello\r\n",
        b"5" * (maxChunkSizeLineLength + 5),
        b"1;" + b"x" * maxChunkSizeLineLength + b"\r\n",
        b"0\r\n" + b"T: " + b"x" * 70_000,
    ],
)
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_smuggling_and_excess_are_refused(wire, size):
    pieces = [wire[n : n + size] for n in range(0, len(wire), size)]
    assert decode(ChunkedDecoder, pieces)[2]


def test_large_chunks_are_not_copied():
    seen = []
    decoder = ChunkedDecoder(seen.append, lambda rest: None)
    data = b"100000\r\n" + b"x" * 0x40000
    decoder.dataReceived(data)
    decoder.dataReceived(b"y" * 0x40000)
    assert [view.obj is data for view in seen] == [True, False]
    assert [len(view) for view in seen] == [0x40000, 0x40000]


def test_small_chunks_of_one_read_come_together():
    seen = []
    decoder = ChunkedDecoder(lambda data: seen.append(bytes(data)), lambda rest: None)
    large = b"y" * SMALL
    decoder.dataReceived(b"1\r\nx\r\n" * 1000 + b"%x\r\n%s\r\n" % (SMALL, large) + b"2\r\nzz\r\n")
    assert seen == [b"x" * 1000, large, b"zz"]
    assert decoder.pieces == 1002
    decoder.dataReceived(b"1\r\nx\r\n" * 10 + b"0\r\n\r\n")
    assert seen[3:] == [b"x" * 10]


def test_data_before_the_damage_is_handed_on_first():
    body, after, refused = decode(ChunkedDecoder, [b"2\r\nhi\r\n5\r\nhelloX\r\n"])
    assert (body, after, refused) == (b"hihello", [], True)
