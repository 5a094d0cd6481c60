/*
 * YAML into a tree (libyaml's events), then into a message; see pbyaml.h.
 *
 * Invariant: memory is bounded before anything is built: the text by PBYAML_MAX_BYTES, the tree by
 * PBYAML_MAX_NODES and PBYAML_MAX_DEPTH; nothing is ever expanded, as aliases are refused.
 */
#include "proto/lib/pbyaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#include "proto/lib/pbtree.h"
#include "proto/lib/utf8.h"

#define READ_CHUNK (64u << 10)

struct loader {
	const ProtobufCMessageDescriptor *descriptor;
	ProtobufCMessage **message;
	const char *file;
	const char *text;
	size_t len;
	struct locations *locations;
	struct problems *problems;
	yaml_parser_t parser;
	struct pbtree tree;
	struct pbtree_node *stack[PBYAML_MAX_DEPTH];
	size_t depth;
	struct pbtree_node *root;
};

/* A problem of the text as a whole, at an octet of it. */
static int complain_octet(struct loader *l, size_t offset, const char *what)
{
	unsigned line = 1, column = 1;

	for (size_t i = 0; i < offset && i < l->len; i++) {
		if (l->text[i] == '\n') {
			line++;
			column = 1;
		} else if ((l->text[i] & 0xc0) != 0x80) {
			column++;
		}
	}
	problems_add_at(l->problems, l->file, line, column, "", "%s", what);
	return -EBADMSG;
}

static int complain_mark(struct loader *l, const yaml_mark_t *mark, const char *what)
{
	problems_add_at(l->problems, l->file, (unsigned)mark->line + 1, (unsigned)mark->column + 1,
		"", "%s", what);
	return -EBADMSG;
}

/* Whether a tab stands at the mark, which counts characters. */
static bool mark_at_tab(const struct loader *l, const yaml_mark_t *mark)
{
	size_t characters = 0;

	for (size_t i = 0; i < l->len; i++) {
		if ((l->text[i] & 0xc0) == 0x80)
			continue;
		if (characters++ == mark->index)
			return l->text[i] == '\t';
	}
	return false;
}

static int complain_parser(struct loader *l)
{
	const yaml_parser_t *p = &l->parser;
	char what[256];

	if (p->error == YAML_SCANNER_ERROR && mark_at_tab(l, &p->problem_mark))
		return complain_mark(
			l, &p->problem_mark, "YAML syntax: a tab can't indent, use blanks");

	switch (p->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR:
		snprintf(what, sizeof(what), "YAML syntax: %s", p->problem);
		return complain_octet(l, p->problem_offset, what);
	default:
		if (p->context != NULL && p->context_mark.line != p->problem_mark.line)
			snprintf(what, sizeof(what), "YAML syntax: %s %s that starts in line %zu",
				p->problem, p->context, p->context_mark.line + 1);
		else
			snprintf(what, sizeof(what), "YAML syntax: %s%s%s", p->problem,
				p->context ? " " : "", p->context ? p->context : "");
		return complain_mark(l, &p->problem_mark, what);
	}
}

/* Hang a node into the tree; a container becomes the present one. */
static int tree_add(
	struct loader *l, enum pbtree_kind kind, bool container, const yaml_event_t *event)
{
	const bool scalar = event->type == YAML_SCALAR_EVENT;
	struct pbtree_node *node;

	if (l->tree.n_nodes >= PBYAML_MAX_NODES)
		return complain_mark(l, &event->start_mark,
			"too large: more values than this program accepts (1048576)");
	node = pbtree_node(&l->tree, kind, scalar ? (const char *)event->data.scalar.value : NULL,
		scalar ? event->data.scalar.length : 0);
	if (node == NULL)
		return -ENOMEM;
	node->line = (unsigned)event->start_mark.line + 1;
	node->column = (unsigned)event->start_mark.column + 1;
	if (l->depth > 0)
		pbtree_append(l->stack[l->depth - 1], node);
	else
		l->root = node;
	if (!container)
		return 0;
	if (l->depth == PBYAML_MAX_DEPTH)
		return complain_mark(
			l, &event->start_mark, "nested too deeply, expected at most 32 levels");
	l->stack[l->depth++] = node;
	return 0;
}

static int document_decode(struct loader *l)
{
	int err = 0;

	if (l->root == NULL)
		return 0;
	if (*l->message == NULL)
		*l->message = pbtree_message_create(l->descriptor);
	if (*l->message == NULL)
		return -ENOMEM;
	err = pbtree_decode(l->root, *l->message, l->file, l->locations, l->problems);
	l->root = NULL;
	return err;
}

static int event_take(struct loader *l, const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return tree_add(l,
			event->data.scalar.tag != NULL                        ? PBTREE_TAGGED
			: event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? PBTREE_PLAIN
									      : PBTREE_QUOTED,
			false, event);
	case YAML_ALIAS_EVENT:
		return tree_add(l, PBTREE_ALIAS, false, event);
	case YAML_SEQUENCE_START_EVENT:
		return tree_add(l,
			event->data.sequence_start.tag != NULL ? PBTREE_TAGGED : PBTREE_LIST, true,
			event);
	case YAML_MAPPING_START_EVENT:
		return tree_add(l,
			event->data.mapping_start.tag != NULL ? PBTREE_TAGGED : PBTREE_MAP, true,
			event);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		l->depth--;
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		return document_decode(l);
	default:
		return 0;
	}
}

static int text_load(struct loader *l)
{
	const size_t valid = utf8_valid(l->text, l->len);
	bool done = false;
	int err = 0, decode_err;

	if (l->len > PBYAML_MAX_BYTES) {
		problems_add_at(l->problems, l->file, 0, 0, "",
			"is larger than 16 MiB, the most this program accepts");
		return -EBADMSG;
	}
	if (valid < l->len)
		return complain_octet(l, valid, "is not UTF-8 from here on");
	if (!yaml_parser_initialize(&l->parser))
		return -ENOMEM;
	yaml_parser_set_encoding(&l->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&l->parser, (const unsigned char *)l->text, l->len);
	while (!done && err == 0) {
		yaml_event_t event;

		if (!yaml_parser_parse(&l->parser, &event)) {
			err = complain_parser(l);
			break;
		}
		done = event.type == YAML_STREAM_END_EVENT;
		err = event_take(l, &event);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&l->parser);
	if (err == -EBADMSG) {
		/* what came before the text broke off may have errors of its own */
		decode_err = document_decode(l);
		if (decode_err < 0)
			err = decode_err;
	}
	return err;
}

int pbyaml_load_text(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, const char *text, size_t len, struct locations *locations,
	struct problems *problems)
{
	const size_t before = problems->n_items + problems->n_dropped;
	struct loader *l = calloc(1, sizeof(*l));
	int err;

	if (l == NULL)
		return -ENOMEM;
	l->descriptor = descriptor;
	l->message = message;
	l->file = file;
	l->text = text;
	l->len = len;
	l->locations = locations;
	l->problems = problems;
	pbtree_init(&l->tree);
	err = text_load(l);
	if (err == 0 && *message == NULL) { /* an empty file is an empty message */
		*message = pbtree_message_create(descriptor);
		if (*message == NULL)
			err = -ENOMEM;
	}
	if (err == 0 && (problems->n_items + problems->n_dropped > before || problems->no_memory))
		err = -EINVAL;
	pbtree_free(&l->tree);
	free(l);
	return err;
}

/* Read all of a descriptor, but no more than one octet above the limit. */
static int file_read(int fd, char **text, size_t *len)
{
	size_t cap = 0, n = 0;
	char *buf = NULL, *grown;

	for (;;) {
		ssize_t got;

		if (cap - n < READ_CHUNK) {
			cap = cap ? cap * 2 : READ_CHUNK * 2;
			grown = realloc(buf, cap);
			if (grown == NULL) {
				free(buf);
				return -ENOMEM;
			}
			buf = grown;
		}
		got = read(fd, buf + n, READ_CHUNK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			const int err = -errno;

			free(buf);
			return err;
		}
		n += (size_t)got;
		if (got == 0 || n > PBYAML_MAX_BYTES)
			break;
	}
	*text = buf;
	*len = n;
	return 0;
}

int pbyaml_load_file(const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage **message,
	const char *file, struct locations *locations, struct problems *problems)
{
	const bool standard_input = strcmp(file, "-") == 0;
	const char *name = standard_input ? "<stdin>" : file;
	char *text = NULL;
	size_t len = 0;
	int fd, err;

	fd = standard_input ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -errno : file_read(fd, &text, &len);
	if (fd >= 0 && !standard_input)
		close(fd);
	if (err == -ENOMEM)
		return err;
	if (err < 0) {
		problems_add_at(problems, name, 0, 0, "", "can't be read: %s", strerror(-err));
		return -EBADMSG;
	}
	err = pbyaml_load_text(descriptor, message, name, text, len, locations, problems);
	free(text);
	return err;
}
