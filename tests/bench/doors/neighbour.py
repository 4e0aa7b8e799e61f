"""A well-behaved client beside an attack, in a process of its own: `python -m tests.bench.doors.neighbour PORT PATH`.

It asks fifty times a second until stdin ends, and prints how many answers it got, how many were not 200, and the
median, 99th percentile and maximum of their times in milliseconds.
"""

import http.client
import select
import sys
import time


def main(port: int, path: str) -> None:
    """Ask until stdin ends."""
    times: list[float] = []
    wrong = 0
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            wrong += answer.status != 200
        except OSError:
            wrong += 1
        finally:
            connection.close()
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    at = [times[min(len(times) - 1, int(len(times) * share))] for share in (0.5, 0.99)] if times else [0.0, 0.0]
    print(len(times), wrong, *(round(found, 1) for found in (*at, times[-1] if times else 0.0)), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
