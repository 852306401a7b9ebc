"""The split that money hangs on, proved on real sockets: what was never sent, and what was sent and not answered."""

import logging
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest

from recoup.wire.exchange import MOST_BODY_BYTES
from recoup.wire.transport import Answer, Lost, NotOpened, Transport
from tests.psp.raw_peer import Peer, Say, answer
from tests.support.certificates import Certified, certified
from tests.support.waiting import HANGS_S, until

SECRET = "Bearer a-token-nobody-may-see"


def good(connection: socket.socket, told: int) -> None:
    connection.sendall(answer(b'{"told": %d}' % told))


@contextmanager
def peer(say: Say, tls: ssl.SSLContext | None = None) -> Iterator[Peer]:
    with Peer(say, tls).running() as running:
        yield running


def transport(running: Peer, **how: float) -> Transport:
    limits = {"connect_timeout_s": HANGS_S, "read_timeout_s": HANGS_S, **how}
    return Transport(running.url, headers={"Authorization": SECRET}, **limits)  # type: ignore[arg-type]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        return int(unused.getsockname()[1])


# --- answered


def test_sends_what_it_is_given_and_returns_the_whole_answer() -> None:
    with peer(good) as running:
        http = Transport(running.url + "/base/", headers={"Authorization": SECRET})
        told = http.call("POST", "/charges?x=1", body=b'{"a":1}', headers={"Idempotency-Key": "k1"})
    assert isinstance(told, Answer)
    assert (told.status, told.body, told.headers["content-length"]) == (200, b'{"told": 1}', "11")
    head, _, body = running.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /base/charges?x=1 HTTP/1.1"
    assert {b"Idempotency-Key: k1", f"Authorization: {SECRET}".encode(), b"Content-Length: 7"} <= set(lines)
    assert body == b'{"a":1}'


def test_reuses_one_connection_for_one_caller() -> None:
    with peer(good) as running:
        http = transport(running)
        bodies = [a.body for a in (http.call("GET", "/") for _ in range(20)) if isinstance(a, Answer)]
    assert bodies == [b'{"told": %d}' % n for n in range(1, 21)]
    assert running.connections == 1


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nabcde",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
    ],
)
def test_reads_every_way_a_body_may_come(said: bytes) -> None:
    with peer(lambda c, _: c.sendall(said)) as running:
        http = transport(running)
        told = [http.call("GET", "/"), http.call("GET", "/")]
    assert [(t.status, t.body) for t in told if isinstance(t, Answer)] == [(200, b"abcde")] * 2


def test_a_redirect_is_an_answer_and_nothing_is_sent_to_where_it_points() -> None:
    with peer(good) as elsewhere:
        moved = answer(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/charges")
        with peer(lambda c, _: c.sendall(moved)) as running:
            told = transport(running).call("POST", "/charges", body=b"{}")
    assert isinstance(told, Answer)
    assert told.status == 307
    assert elsewhere.connections == 0


def test_a_compressed_answer_is_not_asked_for() -> None:
    with peer(good) as running:
        transport(running).call("GET", "/")
    assert b"Accept-Encoding: identity" in running.requests[0]


def test_sixty_four_callers_at_once_get_their_own_answers() -> None:
    def echo(connection: socket.socket, _: int) -> None:
        connection.sendall(answer(running.latest[connection].split(b" ")[1]))

    with peer(echo) as running:
        http = Transport(running.url)
        with ThreadPoolExecutor(64) as pool:
            told = list(pool.map(lambda n: http.call("GET", f"/{n}"), range(2_000)))
    assert [t.body for t in told if isinstance(t, Answer)] == [b"/%d" % n for n in range(2_000)]
    assert running.connections <= 64


# --- surely not sent


def test_refused_is_not_opened() -> None:
    told = Transport(f"http://127.0.0.1:{free_port()}").call("POST", "/charges", body=b"{}")
    assert isinstance(told, NotOpened)
    assert "refused" in told.why


def test_a_name_nobody_knows_is_not_opened() -> None:
    told = Transport("http://no-such-host.invalid").call("POST", "/charges", body=b"{}")
    assert isinstance(told, NotOpened)


def test_a_peer_that_does_not_pick_up_is_not_opened() -> None:
    with ExitStack() as full:
        listener = full.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # beyond its backlog, the kernel leaves a connection attempt without an answer
            waiting = full.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listener.getsockname())
        http = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=0.3)
        told = http.call("POST", "/charges", body=b"{}")
    assert isinstance(told, NotOpened)
    assert "timed out" in told.why


def test_all_connections_in_use_is_not_opened() -> None:
    def slow(connection: socket.socket, told: int) -> None:
        arrived.set()
        go_on.wait(HANGS_S)
        good(connection, told)

    arrived, go_on = threading.Event(), threading.Event()
    with peer(slow) as running, ThreadPoolExecutor(1) as pool:
        http = Transport(running.url, most_connections=1, connect_timeout_s=0.2)
        first = pool.submit(http.call, "POST", "/charges", body=b"{}")
        assert arrived.wait(HANGS_S)
        second = http.call("POST", "/charges", body=b"{}")
        go_on.set()
        assert isinstance(first.result(), Answer)
        third = http.call("POST", "/charges", body=b"{}")
    assert isinstance(second, NotOpened)
    assert isinstance(third, Answer)
    assert len(running.requests) == 2


# --- TLS


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Certified:
    """A self-signed certificate for 127.0.0.1."""
    return certified(tmp_path_factory.mktemp("tls"), "127.0.0.1")


def test_a_trusted_certificate_is_spoken_to(tls: Certified) -> None:
    with peer(good, tls.serving()) as running:
        http = Transport(running.url, headers={"Authorization": SECRET}, tls=tls.trusting())
        told = [http.call("POST", "/charges", body=b"{}") for _ in range(3)]
    assert [t.status for t in told if isinstance(t, Answer)] == [200, 200, 200]
    assert running.connections == 1


def test_an_unknown_certificate_gets_no_request(tls: Certified) -> None:
    with peer(good, tls.serving()) as running:
        told = Transport(running.url).call("POST", "/charges", body=b"{}")
    assert isinstance(told, NotOpened)
    assert "CERTIFICATE_VERIFY_FAILED" in told.why
    assert running.requests == []


def test_a_certificate_for_another_name_gets_no_request(tls: Certified) -> None:
    with peer(good, tls.serving()) as running:
        told = Transport(f"https://localhost:{running.port}", tls=tls.trusting()).call(
            "POST", "/charges", body=b"{}"
        )
    assert isinstance(told, NotOpened)
    assert running.requests == []


def test_a_handshake_that_never_ends_is_not_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        http = Transport(f"https://127.0.0.1:{mute.getsockname()[1]}", connect_timeout_s=0.3)
        assert isinstance(http.call("POST", "/charges", body=b"{}"), NotOpened)


def test_tls_to_a_plain_server_is_not_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def plain() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=plain)
        thread.start()
        http = Transport(f"https://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_s=HANGS_S)
        told = http.call("POST", "/charges", body=b"{}")
        thread.join()
    assert isinstance(told, NotOpened)


def test_tls_broken_off_after_the_request_is_lost(tls: Certified) -> None:
    with peer(lambda c, _: reset(c), tls.serving()) as running:
        told = Transport(running.url, tls=tls.trusting()).call("POST", "/charges", body=b"{}")
    assert isinstance(told, Lost)
    assert len(running.requests) == 1


# --- sent, and not answered


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def hang_up(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def then_hang_up(said: bytes) -> Say:
    def say(connection: socket.socket, _: int) -> None:
        connection.sendall(said)
        hang_up(connection)

    return say


LOSSES: dict[str, Say] = {
    "hangs up": lambda c, _: hang_up(c),
    "resets": lambda c, _: reset(c),
    "says nothing": lambda c, _: None,
    "is no HTTP": lambda c, _: c.sendall(b"220 smtp ready\r\n\r\n"),
    "stops in the status line": then_hang_up(b"HTTP/1.1 20"),
    "stops in the headers": lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nContent-"),
    "stops in the body": then_hang_up(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "is mute in the body": lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{"),
    "stops in a chunk": then_hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab"),
    "stops between chunks": then_hang_up(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
    "counts chunks in words": lambda c, _: c.sendall(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfive\r\nabcde\r\n0\r\n\r\n"
    ),
    "has two lengths": lambda c, _: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n{}"),
    "has a header without end": then_hang_up(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000 + b"\r\n\r\n"),
    "is too long": then_hang_up(answer(b"a" * (MOST_BODY_BYTES + 1))),
    "has no end": lambda c, _: endless(c),
}


MUTE = {"says nothing", "stops in the headers", "is mute in the body"}
"""Those of which only a time limit makes an end."""


def endless(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"a" * 65_536 + b"\r\n")


@pytest.mark.parametrize("loss", LOSSES)
def test_an_answer_that_does_not_come_whole_is_lost_and_nothing_is_sent_again(loss: str) -> None:
    with peer(LOSSES[loss]) as running:
        http = transport(running, read_timeout_s=0.3 if loss in MUTE else HANGS_S)
        told = http.call("POST", "/charges", body=b"{}")
        assert isinstance(told, Lost)
        until(lambda: running.requests)
        assert len(running.requests) == 1
        assert running.connections == 1
        # What is left of that answer must never be read as the next one.
        http.call("POST", "/charges", body=b"{}")
        until(lambda: running.connections > 1)
        assert running.connections == 2


@pytest.mark.parametrize("loss", ["hangs up", "resets"])
def test_a_kept_alive_connection_that_dies_under_a_request_is_lost_and_not_sent_again(loss: str) -> None:
    """The classic: the peer closes an idle connection just as the next request is on the way. Libraries that
    send again by themselves would charge twice."""

    def say(connection: socket.socket, told: int) -> None:
        good(connection, told) if told == 1 else LOSSES[loss](connection, told)

    with peer(say) as running:
        http = transport(running)
        assert isinstance(http.call("POST", "/charges", body=b"1"), Answer)
        told = http.call("POST", "/charges", body=b"2")
    assert isinstance(told, Lost)
    assert [r.rpartition(b"\r\n\r\n")[2] for r in running.requests] == [b"1", b"2"]
    assert running.connections == 1


def test_a_connection_closed_while_idle_is_replaced_before_anything_is_written() -> None:
    def say(connection: socket.socket, told: int) -> None:
        good(connection, told)
        hang_up(connection)

    with peer(say) as running:
        http = transport(running)
        told = []
        for _ in range(5):
            told.append(http.call("POST", "/charges", body=b"{}"))
            until(lambda: running.said == len(told))
            time.sleep(0.02)  # what it said last is on its way
    assert [type(t) for t in told] == [Answer] * 5
    assert len(running.requests) == 5


def test_an_answer_nobody_asked_for_is_never_taken_for_the_next_one() -> None:
    def say(connection: socket.socket, told: int) -> None:
        connection.sendall(answer(b"mine") + answer(b"somebody else's"))

    with peer(say) as running:
        http = transport(running)
        told = []
        for _ in range(3):
            told.append(http.call("GET", "/"))
            until(lambda: running.said == len(told))
            time.sleep(0.02)
    assert [t.body for t in told if isinstance(t, Answer)] == [b"mine"] * 3


def test_an_answer_that_drips_is_given_up_at_the_deadline() -> None:
    def drip(connection: socket.socket, _: int) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:  # until the other side has had enough
            connection.sendall(b"a")
            time.sleep(0.05)

    with peer(drip) as running:
        told = transport(running, answer_deadline_s=0.3).call("GET", "/")
    assert isinstance(told, Lost)
    assert "too slow" in told.why


def test_an_answer_that_came_before_the_whole_request_was_read_counts() -> None:
    """A server may refuse a request by its head alone and hang up on the rest."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1_000)
                connection.sendall(answer(b"no", "413 Content Too Large"))
                connection.shutdown(socket.SHUT_WR)
                time.sleep(0.3)

        thread = threading.Thread(target=refuse)
        thread.start()
        http = Transport(f"http://127.0.0.1:{listener.getsockname()[1]}", read_timeout_s=HANGS_S)
        told = http.call("POST", "/charges", body=b"a" * 20_000_000)
        thread.join()
    # Depending on what reaches us first: the refusal, or the reset that may throw it away.
    assert isinstance(told, Lost) or (isinstance(told, Answer) and told.status == 413)


# --- what the provider asks for, and what nobody may see


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ((), None),
        (("Retry-After: 17",), 17.0),
        (("Retry-After: 99999999",), 86_400.0),
        (("Retry-After: soon",), None),
        (("Retry-After: -3",), None),
        (("Retry-After: Tue, 24 Nov 2026 10:00:30 GMT", "Date: Tue, 24 Nov 2026 10:00:00 GMT"), 30.0),
        (("Retry-After: Tue, 24 Nov 2026 09:00:00 GMT", "Date: Tue, 24 Nov 2026 10:00:00 GMT"), 0.0),
        (("Retry-After: Tue, 24 Nov 2026 10:00:30 GMT",), None),
    ],
)
def test_retry_after(headers: tuple[str, ...], seconds: float | None) -> None:
    with peer(lambda c, _: c.sendall(answer(b"", "429 Too Many Requests", *headers))) as running:
        told = transport(running).call("GET", "/")
    assert isinstance(told, Answer)
    assert told.retry_after_s == seconds


@pytest.mark.parametrize(
    "url",
    [
        "",
        "billing.example.com",
        "ftp://billing.example.com",
        "http://",
        "https://user:hunter2@billing.example.com",
        "https://billing.example.com/?token=hunter2",
        "https://[billing",
    ],
)
def test_a_base_url_that_cannot_be_called_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ValueError, match="base URL") as refused:
        Transport(url)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("loss", ["hangs up", "is no HTTP", "has a header without end", "is too long"])
def test_secrets_stay_out_of_sight(loss: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with peer(LOSSES[loss]) as running:
        http = transport(running)
        told = http.call("POST", "/charges", body=b'{"secret": 1}')
    assert SECRET.encode() in running.requests[0]
    assert "nobody-may-see" not in f"{told!r} {http!r} {caplog.text}"
