#include "tests/hw/tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/control/folder.h"

int tree_set_up(void **state)
{
	struct tree *tree = calloc(1, sizeof(*tree));

	tree->folder = folder_new();
	assert_int_equal(host_root_open(&tree->root, tree->folder->path), 0);
	*state = tree;
	return 0;
}

int tree_tear_down(void **state)
{
	struct tree *tree = *state;

	host_root_close(&tree->root);
	folder_free(tree->folder);
	free(tree);
	return 0;
}

void tree_write(struct tree *tree, const char *path, const char *text)
{
	assert_int_equal(host_replace(&tree->root, text, path), 0);
}

void tree_link(struct tree *tree, const char *path, const char *target)
{
	tree_write(tree, path, ""); /* makes the folders */
	assert_int_equal(unlinkat(tree->root.fd, path, 0), 0);
	assert_int_equal(symlinkat(target, tree->root.fd, path), 0);
}

const char *tree_text(const struct tree *tree, const char *path)
{
	static char text[HOST_TEXT_BYTES];

	if (host_text(&tree->root, text, "%s", path) < 0)
		text[0] = 0;
	return text;
}
