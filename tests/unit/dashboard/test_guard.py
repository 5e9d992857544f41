"""Who may ask for the view, and what its answers allow a browser to do."""

import json
import re

import pytest

from isthmus.core.errors import StoreUnavailable
from isthmus_dashboard.app import LOOPBACK, is_allowed, make_app


class Away:
    """A source that is never there."""

    place = "nowhere"

    def entries(self):
        raise StoreUnavailable("A store must answer, but nothing did. Start it.")


@pytest.fixture(scope="module")
def client():
    return make_app(Away()).server.test_client()


@pytest.mark.parametrize("host", ["127.0.0.1:8050", "localhost", "LOCALHOST:1", "[::1]:8050"])
def test_this_machine_may_ask(client, host):
    assert is_allowed(host, LOOPBACK)
    assert client.get("/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:8050", "192.168.0.7", ""]
)
def test_no_other_name_may_ask(client, host):
    assert not is_allowed(host, LOOPBACK)


@pytest.mark.parametrize("path", ["/", "/_dash-layout", "/_dash-dependencies", "/assets/style.css"])
def test_nothing_is_told_to_a_name_from_elsewhere(client, path):
    answer = client.get(path, headers={"Host": "evil.example"})
    assert answer.status_code == 403
    assert b"isthmus" not in answer.data.lower()


def test_beyond_loopback_addresses_may_ask_but_no_names():
    hosts = (*LOOPBACK, "0.0.0.0", "*")
    assert is_allowed("192.168.0.7:8050", hosts)
    assert is_allowed("[fe80::1]:8050", hosts)
    assert not is_allowed("evil.example", hosts)


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://localhost.evil.example"]
)
def test_a_page_from_elsewhere_may_not_ask(client, origin):
    for method in ("get", "post"):
        ask = getattr(client, method)
        answer = ask("/_dash-update-component", headers={"Host": "localhost", "Origin": origin})
        assert answer.status_code == 403
    assert client.get("/", headers={"Host": "localhost", "Origin": origin}).status_code == 403


def test_the_view_s_own_page_may_ask(client):
    headers = {"Host": "localhost:8050", "Origin": "http://localhost:8050"}
    assert client.get("/_dash-layout", headers=headers).status_code == 200


def test_more_than_a_page_ever_sends_is_refused(client):
    body = json.dumps({"output": "page.children", "inputs": ["x" * 2**21]})
    answer = client.post(
        "/_dash-update-component",
        data=body,
        content_type="application/json",
        headers={"Host": "localhost"},
    )
    assert answer.status_code == 413


def test_answers_let_the_page_fetch_from_here_alone(client):
    headers = client.get("/", headers={"Host": "localhost"}).headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self'" in policy
    assert "unsafe-eval" not in policy
    scripts = next(part for part in policy.split(";") if "script-src" in part)
    assert "unsafe-inline" not in scripts
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


def test_the_page_names_no_other_place_and_its_language(client):
    page = client.get("/", headers={"Host": "localhost"}).get_data(as_text=True)
    assert '<html lang="en">' in page
    assert 'class="skip"' in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    config = json.loads(re.search(r'id="_dash-config"[^>]*>([^<]*)<', page)[1])
    assert not config["ui"]
    assert not config.get("hot_reload")
