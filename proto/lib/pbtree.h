/*
 * What YAML and JSON have in common: a tree of texts, lists and maps with places, and the one
 * decoder that turns it into a message. Internal to proto/lib (pbyaml.c and pbjson.c make trees).
 *
 * Invariant: nodes live in the tree's arena until pbtree_free(); a tree never has more than
 * PBYAML_MAX_NODES nodes nor is deeper than PBYAML_MAX_DEPTH, its maker sees to both.
 */
#pragma once

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "proto/lib/locations.h"
#include "proto/lib/problems.h"

enum pbtree_kind {
	PBTREE_PLAIN,  /* a text without quotes: may be a number, a word, nothing */
	PBTREE_QUOTED, /* a text for sure */
	PBTREE_LIST,
	PBTREE_MAP,    /* children: key, value, key, value... */
	PBTREE_ALIAS,  /* YAML's *x: refused wherever it stands */
	PBTREE_TAGGED, /* YAML's !x: refused as well; children are to be passed over */
};

struct pbtree_node {
	enum pbtree_kind kind;
	unsigned line; /* 0 = unknown */
	unsigned column;
	const char *text; /* NUL-terminated, may hold NULs before */
	size_t len;
	size_t n_children;
	struct pbtree_node *first, *last, *next;
};

struct pbtree {
	struct pbtree_chunk *chunks;
	size_t n_nodes;
};

void pbtree_init(struct pbtree *tree);
void pbtree_free(struct pbtree *tree);

/* A new node; NULL when memory is short. `text` (if not NULL) is copied. */
struct pbtree_node *pbtree_node(
	struct pbtree *tree, enum pbtree_kind kind, const char *text, size_t len);
void pbtree_append(struct pbtree_node *parent, struct pbtree_node *child);

/*
 * Decode a map into `message`, appending to repeated fields. Adds problems and locations (may be
 * NULL) as it goes. Returns 0 (look at the problems), or -ENOMEM.
 */
int pbtree_decode(const struct pbtree_node *root, ProtobufCMessage *message, const char *file,
	struct locations *locations, struct problems *problems);

/* A message of this type with all defaults, or NULL. Freed with protobuf_c_message_free_unpacked.
 */
ProtobufCMessage *pbtree_message_create(const ProtobufCMessageDescriptor *descriptor);
