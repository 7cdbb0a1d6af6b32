"""Servers that a measurement starts: where they listen, and how they end."""
import subprocess

HOST = "127.0.0.1"


def end(process, seconds=30):
    """A broker closes its logs; one that takes longer is killed."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
