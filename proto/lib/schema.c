/*
 * Rules of the schema's fields, from the embedded descriptor set; see schema.h.
 *
 * Invariant: the table is built under pthread_once and only read afterwards, sorted by message name
 * and field number. It lives as long as the process: it is constant data that happens to need
 * parsing.
 */
#include "proto/lib/schema.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google/protobuf/descriptor.pb-c.h"
#include "proto/lib/embedded.h"

#define RULES_EXTENSION 50001 /* audums.v1.rules in FieldOptions */
#define MAX_NESTING     16

struct entry {
	char *message; /* full name without a leading dot */
	uint32_t field;
	Audums__V1__Rules *rules;
};

struct table {
	struct entry *entries;
	size_t n, cap;
	int err; /* of the first and only attempt to fill it */
};

static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct table table;

static int entry_compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	const int order = strcmp(x->message, y->message);

	if (order != 0)
		return order;
	return (x->field > y->field) - (x->field < y->field);
}

/* An unknown field of protobuf-c keeps the length in front of its octets: skip that varint. */
static Audums__V1__Rules *rules_parse(const ProtobufCMessageUnknownField *field)
{
	size_t at = 0;

	while (at < field->len && field->data[at] & 0x80)
		at++;
	if (at++ >= field->len)
		return NULL;
	return audums__v1__rules__unpack(NULL, field->len - at, field->data + at);
}

static int field_add(
	struct table *t, const char *message, const Google__Protobuf__FieldDescriptorProto *field)
{
	const ProtobufCMessage *options;

	if (field->options == NULL)
		return 0;
	options = &field->options->base;
	for (unsigned i = 0; i < options->n_unknown_fields; i++) {
		const ProtobufCMessageUnknownField *u = &options->unknown_fields[i];
		struct entry *e;

		if (u->tag != RULES_EXTENSION ||
			u->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED)
			continue;
		if (t->n == t->cap) {
			const size_t cap = t->cap ? t->cap * 2 : 64;

			e = realloc(t->entries, cap * sizeof(*e));
			if (e == NULL)
				return -ENOMEM;
			t->entries = e;
			t->cap = cap;
		}
		e = &t->entries[t->n];
		e->field = (uint32_t)field->number;
		e->message = strdup(message);
		if (e->message == NULL)
			return -ENOMEM;
		e->rules = rules_parse(u);
		if (e->rules == NULL) {
			free(e->message);
			return -EBADMSG;
		}
		t->n++;
	}
	return 0;
}

static int message_add(struct table *t, const char *scope,
	const Google__Protobuf__DescriptorProto *message, int depth)
{
	char name[256];
	int n, err = 0;

	n = snprintf(name, sizeof(name), "%s%s%s", scope, scope[0] ? "." : "", message->name);
	if (n < 0 || (size_t)n >= sizeof(name) || depth > MAX_NESTING)
		return -EBADMSG;
	for (size_t i = 0; i < message->n_field && err == 0; i++)
		err = field_add(t, name, message->field[i]);
	for (size_t i = 0; i < message->n_nested_type && err == 0; i++)
		err = message_add(t, name, message->nested_type[i], depth + 1);
	return err;
}

static void table_fill(void)
{
	Google__Protobuf__FileDescriptorSet *set;

	set = google__protobuf__file_descriptor_set__unpack(
		NULL, embedded_schema_size, embedded_schema);
	if (set == NULL) {
		table.err = -EBADMSG;
		return;
	}
	for (size_t i = 0; i < set->n_file && table.err == 0; i++) {
		const Google__Protobuf__FileDescriptorProto *file = set->file[i];

		for (size_t k = 0; k < file->n_message_type && table.err == 0; k++)
			table.err = message_add(&table, file->package ? file->package : "",
				file->message_type[k], 0);
	}
	google__protobuf__file_descriptor_set__free_unpacked(set, NULL);
	if (table.n > 0)
		qsort(table.entries, table.n, sizeof(table.entries[0]), entry_compare);
}

int schema_init(void)
{
	pthread_once(&once, table_fill);
	return table.err;
}

const Audums__V1__Rules *schema_rules_by_name(const char *message, uint32_t field)
{
	const struct entry key = {.message = (char *)message, .field = field};
	const struct entry *e;

	if (schema_init() < 0 || table.n == 0)
		return NULL;
	e = bsearch(&key, table.entries, table.n, sizeof(key), entry_compare);
	return e != NULL ? e->rules : NULL;
}

const Audums__V1__Rules *schema_rules(
	const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field)
{
	return schema_rules_by_name(message->name, field->id);
}

bool schema_output_only(
	const ProtobufCMessageDescriptor *message, const ProtobufCFieldDescriptor *field)
{
	const Audums__V1__Rules *rules = schema_rules(message, field);

	return rules != NULL && rules->output_only;
}
