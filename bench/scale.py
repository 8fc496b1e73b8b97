"""How `eclose up` grows: time for a document, and peak memory, from ten thousand documents to a million.

    scale.py BUILD [SVG]     with ECLOSE_TEST_URI; BENCH_SIZES: numbers of users (10000,30000,100000,300000,1000000)

Each number of users of example 1 is loaded anew for each mode. Then 200 documents of 1 MB, of which one array is renamed,
so that memory is seen to follow the bytes in flight and not the documents. With SVG, a plot is written there.
"""

import os
import subprocess
import sys
import tempfile
import time

import pymongo

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from users import load, put_project  # noqa: E402

SIZES = [int(n) for n in os.environ.get('BENCH_SIZES', '10000,30000,100000,300000,1000000').split(',')]
MODES = ('pushdown', 'client')
LARGE = 200
DATABASE = f'eclose_scale_{os.getpid()}'
RENAME = 'to: 2\nup:\n  - $set: {lines: $rows, n: {$size: $rows}}\n  - $unset: rows\n'


def eclose(build, project, uri, mode, collection):
    """(seconds, peak MiB) of one `up`."""
    binary = os.path.join(os.path.abspath(build), 'src', 'cli', 'eclose')
    env = {**os.environ, 'ECLOSE_URI': uri, 'ECLOSE_DATABASE': DATABASE}
    start = time.perf_counter()
    child = subprocess.Popen([binary, 'up', collection, '--mode', mode], cwd=project, env=env,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        # Not ru_maxrss: that begins with what the process that forked had.
        with open(f'/proc/{child.pid}/status', encoding='ascii') as f:
            peak = max([peak, *(int(line.split()[1]) for line in f if line.startswith('VmHWM'))])
        time.sleep(0.01)
    if child.returncode:
        sys.exit(f'eclose up {collection} --mode {mode} ended with status {child.returncode}')
    return time.perf_counter() - start, peak / 1024


def load_large(collection):
    collection.drop()
    rows = [{'i': i, 'text': 'x' * 100} for i in range(7600)]
    for i in range(LARGE):
        collection.insert_one({'_id': i, 'schema_version': 1, 'rows': rows})


def plot(path, figures):
    """Microseconds for a document over the number of documents, as SVG."""
    width, height, left, bottom = 640, 320, 60, 40
    top = max(max(f[0] for f in row.values()) for row in figures.values()) * 1.15
    colours = {'pushdown': '#1f77b4', 'client': '#d62728'}

    def x(k):
        return left + 20 + k * (width - left - 60) / max(1, len(figures) - 1)

    def y(us):
        return height - bottom - us / top * (height - bottom - 20)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
           'font-size="12">', f'<rect width="{width}" height="{height}" fill="white"/>',
           f'<path d="M{left} 10V{height - bottom}H{width - 10}" fill="none" stroke="#444"/>',
           f'<text x="{left}" y="{height - 6}" fill="#444">documents in the collection</text>',
           '<text x="14" y="20" fill="#444" transform="rotate(-90 14 20)" text-anchor="end">µs a document</text>']
    for k, n in enumerate(figures):
        out.append(f'<text x="{x(k):.0f}" y="{height - bottom + 16}" text-anchor="middle" fill="#444">{n:,}</text>')
    for k in range(5):
        us = top * k / 4
        out.append(f'<text x="{left - 6}" y="{y(us) + 4:.0f}" text-anchor="end" fill="#444">{us:.0f}</text>'
                   f'<path d="M{left} {y(us):.0f}H{width - 10}" stroke="#ddd"/>')
    for mode in MODES:
        points = [(x(k), y(row[mode][0])) for k, row in enumerate(figures.values())]
        out.append(f'<polyline points="{" ".join(f"{a:.0f},{b:.0f}" for a, b in points)}" fill="none" '
                   f'stroke="{colours[mode]}" stroke-width="2"/>')
        out += [f'<circle cx="{a:.0f}" cy="{b:.0f}" r="3" fill="{colours[mode]}"/>' for a, b in points]
        out.append(f'<text x="{width - 12}" y="{points[-1][1] - 8:.0f}" text-anchor="end" '
                   f'fill="{colours[mode]}">{mode}</text>')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('\n'.join([*out, '</svg>', '']))


def main():
    build, uri = sys.argv[1], os.environ['ECLOSE_TEST_URI']
    client = pymongo.MongoClient(uri)
    db = client[DATABASE]
    figures = {}
    with tempfile.TemporaryDirectory() as project:
        put_project(project, large=RENAME)
        print(f'{"":24} {"pushed down":>24} {"here":>24}')
        print(f'{"documents":24}' + f' {"µs a document":>14} {"peak MiB":>9}' * 2)
        try:
            for n in SIZES:
                for mode in MODES:
                    load(db.users, n)
                    seconds, peak = eclose(build, project, uri, mode, 'users')
                    figures.setdefault(n, {})[mode] = (seconds * 1e6 / n, peak)
                row = figures[n]
                print(f'{n:<24,}' + ''.join(f' {row[m][0]:14.1f} {row[m][1]:9.1f}' for m in MODES), flush=True)
            row = {}
            for mode in MODES:
                load_large(db.large)
                seconds, peak = eclose(build, project, uri, mode, 'large')
                row[mode] = (seconds * 1e6 / LARGE, peak)
            print(f'{f"{LARGE} of 1 MB":<24}' + ''.join(f' {row[m][0]:14.1f} {row[m][1]:9.1f}' for m in MODES),
                  flush=True)
        finally:
            client.drop_database(DATABASE)
    if len(sys.argv) > 2:
        plot(sys.argv[2], figures)


if __name__ == '__main__':
    main()
