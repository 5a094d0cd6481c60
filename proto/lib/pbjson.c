/*
 * JSON into a tree (jansson), then into a message; see pbtext.h. The same decoder judges YAML.
 *
 * Invariant: the number of values is bounded before jansson builds them. jansson knows no places of
 * values, so problems after the syntax carry the path alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "proto/lib/pbtext.h"
#include "proto/lib/pbtree.h"
#include "proto/lib/pbyaml.h"

/* An upper bound of the values in a text, and of its depth: what opens and separates them. */
static void text_measure(const char *text, size_t len, size_t *values, size_t *depth)
{
	bool quoted = false;
	size_t level = 0;

	*values = 1;
	*depth = 0;
	for (size_t i = 0; i < len; i++) {
		const char c = text[i];

		if (c == '"') {
			quoted = !quoted;
		} else if (quoted) {
			i += c == '\\';
		} else if (c == '[' || c == '{') {
			++*values;
			if (++level > *depth)
				*depth = level;
		} else if (c == ',' || c == ':') {
			++*values;
		} else if ((c == ']' || c == '}') && level > 0) {
			level--;
		}
	}
}

static struct pbtree_node *tree_build(struct pbtree *tree, const json_t *value)
{
	struct pbtree_node *node = NULL, *child;
	const char *key;
	char number[32];
	json_t *item;
	size_t i, key_len;
	int n;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		node = pbtree_node(tree, PBTREE_MAP, NULL, 0);
		json_object_keylen_foreach((json_t *)value, key, key_len, item)
		{
			if (node == NULL)
				return NULL;
			child = pbtree_node(tree, PBTREE_QUOTED, key, key_len);
			if (child == NULL)
				return NULL;
			pbtree_append(node, child);
			child = tree_build(tree, item);
			if (child == NULL)
				return NULL;
			pbtree_append(node, child);
		}
		break;
	case JSON_ARRAY:
		node = pbtree_node(tree, PBTREE_LIST, NULL, 0);
		json_array_foreach (value, i, item) {
			if (node == NULL)
				return NULL;
			child = tree_build(tree, item);
			if (child == NULL)
				return NULL;
			pbtree_append(node, child);
		}
		break;
	case JSON_STRING:
		node = pbtree_node(
			tree, PBTREE_QUOTED, json_string_value(value), json_string_length(value));
		break;
	case JSON_INTEGER:
		n = snprintf(
			number, sizeof(number), "%" JSON_INTEGER_FORMAT, json_integer_value(value));
		node = pbtree_node(tree, PBTREE_PLAIN, number, (size_t)n);
		break;
	case JSON_REAL:
		n = snprintf(number, sizeof(number), "%.17g", json_real_value(value));
		node = pbtree_node(tree, PBTREE_PLAIN, number, (size_t)n);
		break;
	case JSON_TRUE:
		node = pbtree_node(tree, PBTREE_PLAIN, "true", 4);
		break;
	case JSON_FALSE:
		node = pbtree_node(tree, PBTREE_PLAIN, "false", 5);
		break;
	case JSON_NULL:
		node = pbtree_node(tree, PBTREE_PLAIN, "null", 4);
		break;
	}
	return node;
}

static int text_load(
	const char *file, const char *text, size_t len, json_t **value, struct problems *problems)
{
	size_t values, depth;
	json_error_t error;

	text_measure(text, len, &values, &depth);
	if (len > PBYAML_MAX_BYTES || values > PBYAML_MAX_NODES || depth > PBYAML_MAX_DEPTH) {
		problems_add_at(problems, file, 0, 0, "",
			"too large, expected at most 16 MiB, 1048576 values and 32 levels");
		return -EINVAL;
	}
	*value = json_loadb(
		text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
	if (*value != NULL)
		return 0;
	if (json_error_code(&error) == json_error_out_of_memory)
		return -ENOMEM;
	problems_add_at(problems, file, error.line > 0 ? (unsigned)error.line : 1,
		error.column > 0 ? (unsigned)error.column : 1, "", "JSON syntax: %s", error.text);
	return -EINVAL;
}

int pbtext_parse_json(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, const char *text, size_t len, struct problems *problems)
{
	const size_t before = problems->n_items + problems->n_dropped;
	struct pbtree_node *root;
	struct pbtree tree;
	json_t *value = NULL;
	int err;

	*message = NULL;
	pbtree_init(&tree);
	err = text_load(file, text, len, &value, problems);
	if (err < 0)
		goto out;
	root = tree_build(&tree, value);
	*message = pbtree_message_create(descriptor);
	if (root == NULL || *message == NULL)
		err = -ENOMEM;
	else
		err = pbtree_decode(root, *message, file, NULL, problems);
	if (err == 0 && (problems->n_items + problems->n_dropped > before || problems->no_memory))
		err = -EINVAL;
	if (err < 0 && *message != NULL) {
		protobuf_c_message_free_unpacked(*message, NULL);
		*message = NULL;
	}
out:
	json_decref(value);
	pbtree_free(&tree);
	return err;
}
