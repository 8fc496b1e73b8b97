"""The soak, short: workers and the server are killed while an application writes. See soak.py; `make soak` runs it for
minutes."""

import pytest

from soak import soak


@pytest.mark.parametrize('mode', ['client', pytest.param('pushdown', marks=pytest.mark.long)])
def test_soak(own_server, own_db, eclose_binary, mode):
    own_server.needs_own('the soak kills its server')

    def kill_server():
        own_server.kill()
        own_server.restart()

    bad = soak(own_server.uri, kill_server, own_db.name, 4000, eclose_binary, 1, mode)
    assert not bad, '\n'.join(bad[:20])
