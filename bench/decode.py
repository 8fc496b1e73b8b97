"""Example 1 as a Python program does it: decode the document, change the dict, encode it again, with pymongo's C code.

    decode.py NOTES     prints its line beside the engine's, whose figures of the same run are in NOTES (JSON)
"""

import json
import os
import statistics
import sys
import time

import bson

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from users import upgrade, user  # noqa: E402


def main():
    documents = [bson.encode(user(i)) for i in range(1000)]
    rounds = []
    for _ in range(25):
        start = time.perf_counter_ns()
        for raw in documents:
            bson.encode(upgrade(bson.decode(raw)))
        rounds.append((time.perf_counter_ns() - start) / len(documents))
    with open(sys.argv[1], encoding='utf-8') as f:
        ours = json.load(f)['example 1 (users v1 to v2)']['ns']
    theirs = statistics.median(rounds)
    print(f'{"example 1 against pymongo: decode, change, encode":58} {ours:10.1f} {theirs:10.1f} {ours / theirs:7.3f}'
          f'  at most 0.1 of it ({theirs / ours:.1f} times faster)')


if __name__ == '__main__':
    main()
