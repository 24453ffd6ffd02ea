"""The guard itself: what every other test relies on when it says that no network is needed."""

import socket
import urllib.error
import urllib.request

import pytest


def test_another_machine_cannot_be_reached(no_network: list[str]) -> None:
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("huggingface.co", 443), timeout=1)
    with socket.socket() as end, pytest.raises(OSError, match="no network"):
        end.connect(("192.0.2.1", 443))
    with socket.socket() as end, pytest.raises(OSError, match="no network"):
        end.connect_ex(("192.0.2.1", 443))
    with pytest.raises(urllib.error.URLError, match="no network"):
        urllib.request.urlopen("http://huggingface.co")
    assert no_network == ["huggingface.co", "192.0.2.1", "192.0.2.1", "huggingface.co"]
    no_network.clear()


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), timeout=1).close()
