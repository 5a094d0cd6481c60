/* The tree between texts and messages; see pbtree.h. Nodes and texts come from chunks. */
#include "proto/lib/pbtree.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES (64u << 10)

struct pbtree_chunk {
	struct pbtree_chunk *next;
	size_t used, size;
	alignas(max_align_t) char data[];
};

void pbtree_init(struct pbtree *tree)
{
	memset(tree, 0, sizeof(*tree));
}

void pbtree_free(struct pbtree *tree)
{
	while (tree->chunks != NULL) {
		struct pbtree_chunk *next = tree->chunks->next;

		free(tree->chunks);
		tree->chunks = next;
	}
	tree->n_nodes = 0;
}

static void *tree_alloc(struct pbtree *tree, size_t size)
{
	struct pbtree_chunk *chunk = tree->chunks;
	void *p;

	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (chunk == NULL || chunk->size - chunk->used < size) {
		const size_t room = size > CHUNK_BYTES ? size : CHUNK_BYTES;

		chunk = malloc(sizeof(*chunk) + room);
		if (chunk == NULL)
			return NULL;
		chunk->used = 0;
		chunk->size = room;
		chunk->next = tree->chunks;
		tree->chunks = chunk;
	}
	p = chunk->data + chunk->used;
	chunk->used += size;
	return p;
}

struct pbtree_node *pbtree_node(
	struct pbtree *tree, enum pbtree_kind kind, const char *text, size_t len)
{
	struct pbtree_node *node = tree_alloc(tree, sizeof(*node));
	char *copy;

	if (node == NULL)
		return NULL;
	memset(node, 0, sizeof(*node));
	node->kind = kind;
	if (text != NULL) {
		copy = tree_alloc(tree, len + 1);
		if (copy == NULL)
			return NULL;
		memcpy(copy, text, len);
		copy[len] = '\0';
		node->text = copy;
		node->len = len;
	}
	tree->n_nodes++;
	return node;
}

void pbtree_append(struct pbtree_node *parent, struct pbtree_node *child)
{
	if (parent->last != NULL)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n_children++;
}
