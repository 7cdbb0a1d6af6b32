"""What the tests of the running broker share."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent / "broker"))


def pytest_configure(config):
    config.addinivalue_line("markers", "tsan: several shards at work, for ThreadSanitizer")
    config.addinivalue_line("markers", "slow: left out by ./dev test --quick")
