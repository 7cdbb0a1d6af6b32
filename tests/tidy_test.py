#!/usr/bin/env python3
"""Tests of tidy.py: a small tree in order, and each disorder it must name."""
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

import tidy

GOOD = {
    "meson.build": "subdir('base')\n",
    "base/README.md": "# base\n",
    "base/meson.build": "static_library('base', 'clock.c')\n",
    "base/clock.h": "#pragma once\n#include <stdint.h>\nuint64_t clock_now(void);\n",
    "base/clock.c": '#include "base/clock.h"\nuint64_t clock_now(void)\n{\n\treturn 0;\n}\n',
    "tests/README.md": "# tests\n",
    "tests/base/clock_test.c": '#include "base/clock.h"\n',
    "tests/meson.build": "executable('clock_test', 'base/clock_test.c')\n",
}


class Tidy(unittest.TestCase):
    def setUp(self):
        self.root = pathlib.Path(tempfile.mkdtemp(prefix="tidy-test-"))
        self.addCleanup(shutil.rmtree, self.root)
        self.write(GOOD)

    def write(self, files):
        for path, text in files.items():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            (self.root / path).write_text(text)

    def found(self):
        return [f"{path}:{line}: {what}" for path, line, what in tidy.findings(self.root, None)]

    def assert_finds(self, files, start, part):
        """Adding `files` brings exactly one finding, which starts and reads so."""
        self.write(files)
        found = self.found()
        self.assertEqual(len(found), 1, found)
        self.assertTrue(found[0].startswith(start), found[0])
        self.assertIn(part, found[0])

    def test_tree_in_order_has_no_findings(self):
        self.assertEqual(self.found(), [])

    def test_lower_folder_may_not_include_a_higher_one(self):
        self.assert_finds({"base/clock.h": '#pragma once\n\n#include "storage/log.h"\n'},
                          "base/clock.h:3: ", "may not include")

    def test_codec_may_not_include_its_folder(self):
        self.assert_finds({"dataplane/kafka/wire.h": '#pragma once\n#include "dataplane/shard.h"\n',
                           "dataplane/README.md": "# dataplane\n"},
                          "dataplane/kafka/wire.h:2: ", "may not include")

    def test_client_may_include_the_generated_codec_but_no_handler(self):
        self.assert_finds({"client/sluice.h": '#pragma once\n#include "kafka_messages.h"\n'
                                              '#include "dataplane/handlers/handlers.h"\n',
                           "client/README.md": "# client\n"},
                          "client/sluice.h:3: ", "may not include")

    def test_include_without_its_folder_is_named(self):
        self.assert_finds({"base/clock.c": '#include "clock.h"\n'},
                          "base/clock.c:1: ", "write the folder before it")

    def test_internal_header_stays_in_its_folder(self):
        self.assert_finds({"bench/speed.h": '#pragma once\n#include "base/pool_internal.h"\n',
                           "bench/README.md": "# bench\n"},
                          "bench/speed.h:2: ", "is private")

    def test_base_knows_no_dpdk(self):
        self.assert_finds({"base/clock.c": "#include <rte_cycles.h>\n"},
                          "base/clock.c:1: ", "has no place in base/")

    def test_banned_call_is_found_on_its_line(self):
        self.assert_finds({"base/clock.c": "/* a\n * b */\nvoid f(char *a)\n{\n\tstrcpy(a, a);\n"},
                          "base/clock.c:5: strcpy", "use snprintf or memcpy")

    def test_banned_name_in_comment_string_or_longer_name_is_fine(self):
        self.write({"base/clock.c": '/* strcpy(a) */ const char *s = "strcpy(a)"; // atoi(s)\n'
                                    "int my_strcpy(int), x = object.sprintf(1);\n"})
        self.assertEqual(self.found(), [])

    def test_printf_is_banned_in_the_dataplane_only(self):
        self.write({"base/clock.c": 'void f(void)\n{\n\tprintf("x");\n}\n'})
        self.assertEqual(self.found(), [])
        self.assert_finds({"dataplane/shard.h": '#pragma once\nprintf("x");\n',
                           "dataplane/README.md": "# dataplane\n"},
                          "dataplane/shard.h:2: printf", "may block")

    def test_todo_needs_who_and_condition(self):
        self.write({"base/clock.c": "/* TODO(ana): drop when kernels before 6.1 are gone. */\n"})
        self.assertEqual(self.found(), [])
        self.assert_finds({"base/clock.c": "\n/* TODO: later */\n"},
                          "base/clock.c:2: TODO without a condition", "TODO(who)")

    def test_leftover_words_are_found(self):
        self.assert_finds({"base/README.md": "FIXME\n"}, "base/README.md:1: leftover FIXME", "TODO")

    def test_space_at_end_is_found(self):
        self.assert_finds({"base/README.md": "a\nb \n"}, "base/README.md:2: space", "remove")

    def test_missing_newline_is_found(self):
        self.assert_finds({"base/README.md": "a\nb"}, "base/README.md:2: no newline", "add")

    def test_long_line_of_a_table_is_found(self):
        self.assert_finds({"base/errors.def": "x" * 101 + "\n"},
                          "base/errors.def:1: longer", "break")

    def test_header_needs_pragma_once(self):
        self.assert_finds({"base/clock.h": "int x;\n"}, "base/clock.h:1: ", "pragma once")

    def test_folder_needs_a_readme(self):
        (self.root / "base/README.md").unlink()
        self.assert_finds({}, "base/README.md:1: is missing", "say what")

    def test_source_outside_every_build_file_is_found(self):
        self.assert_finds({"base/dead.c": "int x;\n"}, "base/dead.c:1: ", "in no meson.build")

    def test_source_may_be_built_from_a_list_of_nouns(self):
        self.write({"tests/base/map_test.c": "int x;\n",
                    "tests/base/meson.build": "foreach noun : ['clock', 'map']\n"})
        self.assertEqual(self.found(), [])

    def test_source_without_a_test_is_noted(self):
        self.write({"base/lonely.c": ""})
        self.assertEqual(list(tidy.untested(tidy.tracked(self.root))), ["base/lonely.c"])

    def test_header_that_needs_another_does_not_compile_alone(self):
        (self.root / "build").mkdir()
        (self.root / "build/compile_commands.json").write_text(
            '[{"directory": "%s/build", "file": "../base/clock.c", "command": "cc -I.. -Ibase '
            '-c ../base/clock.c -o x.o"}]' % self.root)
        build = self.root / "build"
        self.assertEqual(list(tidy.findings(self.root, build)), [])
        self.write({"base/clock.h": "#pragma once\nuint64_t clock_now(void);\n"})
        (path, _, what), = tidy.findings(self.root, build)
        self.assertEqual(path, "base/clock.h")
        self.assertIn("uint64_t", what)

    def test_command_ends_with_one_when_something_was_found(self):
        command = [sys.executable, tidy.__file__, "--root", str(self.root)]
        self.assertEqual(subprocess.run(command).returncode, 0)
        self.write({"base/README.md": "a \n"})
        run = subprocess.run(command, capture_output=True, text=True)
        self.assertEqual(run.returncode, 1)
        self.assertEqual(run.stdout.count("\n"), 1)


if __name__ == "__main__":
    unittest.main()
