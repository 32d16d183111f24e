// SPDX-License-Identifier: GPL-2.0
/*
 * Complete Debian's static libelf. From elfutils 0.191 on, libelf.a calls two functions of
 * elfutils' internal libeu, which Debian does not ship: they set up and free the tree behind
 * elf_getdata_rawchunk(). libbpf never calls that; if it did, the tree's other functions would be
 * missing too and the link would fail. libelf zeroes the tree when it allocates it, so that
 * nothing remains to be done. Weak, so that a libelf that brings its own is preferred.
 */

void eu_search_tree_init(void *tree);
void eu_search_tree_fini(void *tree, void (*free_node)(void *));

__attribute__((weak)) void eu_search_tree_init(void *tree)
{
	(void)tree;
}

__attribute__((weak)) void eu_search_tree_fini(void *tree, void (*free_node)(void *))
{
	(void)tree;
	(void)free_node;
}
