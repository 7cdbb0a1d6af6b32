"""What tests of documents rest on: finding their commands, and knowing what they print."""
import documents

DOCUMENT = """\
# A guide

```sh background
sluiced
```

```sh
echo one
```

```text
one
```

```c
int main(void);
```

```sh not-run=needs-a-nic
sluice nic bind
```
and then
```text
not of it
```
"""


def test_commands_are_found_with_what_they_print():
    first, second, third = documents.blocks_of(DOCUMENT)
    assert first.background and first.text == "sluiced\n" and first.line == 3
    assert second.text == "echo one\n" and second.expected == "one"
    assert third.not_run == "needs-a-nic" and third.expected is None


def test_dots_stand_for_any_text_and_for_any_lines():
    assert documents.prints("a ... c", "a b c\n")
    assert documents.prints("first\n...\nlast", "first\n1\n2\nlast\n")
    assert documents.prints("first\n...", "first\n")
    assert not documents.prints("first", "first\nsecond\n")
    assert not documents.prints("a ... c", "a b d\n")
