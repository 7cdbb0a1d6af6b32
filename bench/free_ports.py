"""Ports for servers of benchmarks and tests, many of which run side by side.

A port that the kernel chose for a socket that is closed again may be the next one that it gives to
somebody's connection, before the server has it, or while the server is away for a restart.  So
these lie below the kernel's own (ip_local_port_range), and each process takes a block of them for
as long as it lives: a name in the abstract namespace says so to the others.
"""
import functools
import itertools
import socket

BLOCK = 256
FIRST = 16384
KERNELS = "/proc/sys/net/ipv4/ip_local_port_range"


def end_of_range():
    with open(KERNELS, encoding="ascii") as file:
        first_of_kernels = int(file.read().split()[0])
    # Where the kernel's begin too low, a block is still nobody else's of ours.
    return first_of_kernels if first_of_kernels >= FIRST + 16 * BLOCK else 32768


@functools.cache
def own_block():
    """This process's ports, and the claim to them, which ends with it."""
    for first in range(FIRST, end_of_range() - BLOCK + 1, BLOCK):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0sluice-ports-{first}")
            return itertools.cycle(range(first, first + BLOCK)), claim
        except OSError:
            claim.close()
    raise RuntimeError(f"every block of ports below {end_of_range()} is in use")


def is_free(host, port):
    """For TCP and UDP, as a server sees it that reuses addresses."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tcp.bind((host, port))
            tcp.listen()
            udp.bind((host, port))
        except OSError:
            return False
        return True


def free_port(host="127.0.0.1"):
    ports, _ = own_block()
    for port in itertools.islice(ports, BLOCK):
        if is_free(host, port):
            return port
    raise RuntimeError(f"all {BLOCK} ports of this process are in use")
