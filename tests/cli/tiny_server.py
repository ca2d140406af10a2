"""A server that starts in no time, has a child process, and ends when asked."""

from __future__ import annotations

import argparse
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("--unused", "--host", "--port"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    child = subprocess.Popen(["sleep", "60"])
    answers = {"/health": "", "/child": str(child.pid), "/prefix": sys.prefix}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[self.path].encode())

    HTTPServer((arguments.host, int(arguments.port)), Handler).serve_forever()


if __name__ == "__main__":
    main()
