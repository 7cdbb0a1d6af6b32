"""Every command of the README and the guides is run as it stands there.

A document's blocks run one after the other in one shell, in a folder that looks like a checkout, in
network and process namespaces of their own: ports are the ones that the document says, and nothing
of it is left when the shell ends.
"""
import os
import pathlib
import shutil
import subprocess
import sys

import documents
import pytest

SECONDS = 240
READY_SECONDS = 60
NAMESPACES = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--kill-child",
              "--mount", "--mount-proc"]
# Of a checkout; data and the like are made by the commands.
NOT_LINKED = {".git", "data"}

PRELUDE = """\
set -euo pipefail
ip link set lo up
wait_ready() {
    local waited=0
    until grep -q ready "$1"; do
        sleep 0.05
        ((++waited < %d * 20)) || { echo "is never ready:"; cat "$1"; return 1; } >&2
    done
}
""" % READY_SECONDS


def names(paths):
    return [str(path.relative_to(documents.ROOT)) for path in paths]


def script_of(blocks, folder):
    """Blocks are sourced, so that a variable that one sets is there in the next."""
    script = PRELUDE
    for number, block in enumerate(blocks):
        text = folder / f"block-{number}.sh"
        text.write_text(block.text)
        script += f"echo {number} >{folder}/reached\n"
        if block.background:
            script += f"(. {text}) >{folder}/out-{number} 2>&1 &\nwait_ready {folder}/out-{number}\n"
        else:
            script += f". {text} >{folder}/out-{number}\n"
    return script + f"echo done >{folder}/reached\n"


def checkout(folder):
    """A folder with everything that the repository has."""
    folder.mkdir()
    for entry in documents.ROOT.iterdir():
        if entry.name not in NOT_LINKED:
            (folder / entry.name).symlink_to(entry)


def environment(folder):
    build = pathlib.Path(os.environ["SLUICED"]).resolve().parent
    build = build.parent if build.name == "control" else build
    return {
        **os.environ,
        "HOME": str(folder / "home"),
        # Programs as if they were installed; Python's clients are where these tests have theirs.
        "PATH": f"{folder}/checkout/build:{pathlib.Path(sys.executable).parent}:"
                f"{os.environ['PATH']}",
        "CLASSPATH": f"{pathlib.Path(os.environ['KAFKA_CLIENTS_JAR']).parent}/*",
        "LD_LIBRARY_PATH": f"{build}/client",
        "PKG_CONFIG_PATH": f"{build}/meson-uninstalled",
    }


def fetch(blocks, folder):
    for block in blocks:
        done = subprocess.run(["bash", "-euc", block.text], cwd=folder / "checkout", check=False,
                              stdin=subprocess.DEVNULL, timeout=SECONDS, capture_output=True,
                              text=True)
        if done.returncode:
            pytest.skip(f"cannot be fetched: {done.stderr[-300:]}")


def run(path, folder):
    blocks = [block for block in documents.blocks_of(path.read_text()) if not block.not_run]
    missing = [block.needs for block in blocks if block.needs and not shutil.which(block.needs)]
    if missing:
        pytest.skip(f"no {missing[0]} here")
    (folder / "home").mkdir()
    checkout(folder / "checkout")
    fetch([block for block in blocks if block.online], folder)
    blocks = [block for block in blocks if not block.online]
    script = folder / "script.sh"
    script.write_text(script_of(blocks, folder))
    done = subprocess.run([*NAMESPACES, "bash", str(script)], cwd=folder / "checkout",
                          env=environment(folder), stdin=subprocess.DEVNULL, timeout=SECONDS,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False)
    reached = (folder / "reached").read_text().strip()
    if reached != "done":
        block = blocks[int(reached)]
        out = (folder / f"out-{reached}").read_text()
        pytest.fail(f"{path.name}:{block.line}: exit code {done.returncode}\n{block.text}\n"
                    f"{out}\n{done.stdout}", pytrace=False)
    return [(block, (folder / f"out-{number}").read_text())
            for number, block in enumerate(blocks)]


@pytest.mark.parametrize("path", documents.documents(), ids=names(documents.documents()))
def test_commands_work_as_they_stand_there(path, tmp_path):
    if subprocess.run([*NAMESPACES, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no namespaces")
    assert shutil.which("ip")
    for block, printed in run(path, tmp_path):
        if block.expected is not None:
            assert documents.prints(block.expected, printed), \
                f"{path.name}:{block.line}: prints\n{printed}"


@pytest.mark.parametrize("path", documents.documents(), ids=names(documents.documents()))
def test_what_is_not_run_has_a_known_reason(path):
    for block in documents.blocks_of(path.read_text()):
        assert block.not_run is None or block.not_run in documents.NOT_RUN, \
            f"{path.name}:{block.line}"
        assert all(word in ("background", "online") or word.partition("=")[0] in ("not-run", "needs")
                   for word in block.words)
