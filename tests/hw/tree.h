/* tests/hw/tree.h: a folder that stands for / of a host, of one test. */
#pragma once
#include "hw/root.h"

struct tree {
	struct folder *folder;
	struct host_root root;
};

/* For cmocka's set-up and tear-down; *state is the tree. */
int tree_set_up(void **state);
int tree_tear_down(void **state);

/* Folders above are made. */
void tree_write(struct tree *tree, const char *path, const char *text);
/* `path` becomes a symbolic link with that text. */
void tree_link(struct tree *tree, const char *path, const char *target);
/* Without white space at its end; "" where there is none.  In a static buffer. */
const char *tree_text(const struct tree *tree, const char *path);
