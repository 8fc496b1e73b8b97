"""The stories of README.md, run as they stand there: their files in a folder, their programs on a live server."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).resolve().parents[1] / 'README.md').read_text(encoding='utf-8')
STORIES = dict(re.findall(r'^## ([^\n]+)\n(.*?)(?=^## |\Z)', README, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize('name', STORIES)
def test_story(name, client, db, mongo, tmp_path, monkeypatch):
    programs = []
    for kind, text in re.findall(r'^```(\w+)\n(.*?)^```', STORIES[name], re.MULTILINE | re.DOTALL):
        if kind == 'yaml':
            path = tmp_path / re.match(r'# (\S+)\n', text).group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        else:
            programs.append(text)
    assert programs
    monkeypatch.chdir(tmp_path)
    for program in programs:
        exec(compile(program, f'README.md: {name}', 'exec'), {'__name__': 'story', 'client': client, 'db': db})


def test_there_are_five():
    assert len(STORIES) == 5
