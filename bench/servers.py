"""Servers that a measurement starts: where they listen, and how they end."""
import socket
import subprocess

HOST = "127.0.0.1"


def free_port():
    """One that is free for TCP and UDP."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((HOST, 0))
        udp.bind(tcp.getsockname())
        return tcp.getsockname()[1]


def end(process, seconds=30):
    """A broker closes its logs; one that takes longer is killed."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
