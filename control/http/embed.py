#!/usr/bin/env python3
"""Files as C arrays, for the program to serve without a file system.

    embed.py OUTPUT ROOT [PATH=]FILE...

Writes static_files[] of control/http/static_files.h; a file's path is what follows ROOT, unless PATH
is given.
"""
import hashlib
import pathlib
import sys

TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".woff2": "font/woff2",
}


def array(number, content):
    lines = [f"static const unsigned char content_{number}[] = {{"]
    for start in range(0, len(content), 20):
        lines.append("\t" + "".join(f"{byte}," for byte in content[start:start + 20]))
    return lines + ["};"] if content else [f"static const unsigned char content_{number}[1];"]


def main():
    output, root, *names = sys.argv[1:]
    root = pathlib.Path(root).resolve()
    lines = ['#include "control/http/static_files.h"', ""]
    rows = []
    for number, name in enumerate(sorted(names)):
        served, _, file = name.rpartition("=")
        path = pathlib.Path(file).resolve()
        served = served or "/" + path.relative_to(root).as_posix()
        content = path.read_bytes()
        tag = hashlib.sha256(content).hexdigest()[:32]
        lines += array(number, content)
        rows.append(f'\t{{"{served}", "{TYPES[path.suffix]}", '
                    f'content_{number}, {len(content)}, "\\"{tag}\\""}},')
    lines += ["", "const struct static_file static_files[] = {", *rows, "};",
              f"const size_t static_file_count = {len(rows)};"]
    pathlib.Path(output).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
