/*
 * Names of enum values and fields; see pbenum.h. The prefix of an enum's values is its own name in
 * upper snake case: Platform -> PLATFORM_, ApplyState -> APPLY_STATE_.
 */
#include "proto/lib/pbenum.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proto/lib/pbtext.h"

#define NEAREST_MAX_LEN 48 /* longer words are no slips of the pen */

static size_t prefix_length(const ProtobufCEnumDescriptor *descriptor, const char *value)
{
	char prefix[128];
	size_t n = 0;

	for (const char *s = descriptor->short_name; *s && n + 3 < sizeof(prefix); s++) {
		if (isupper((unsigned char)*s) && n > 0)
			prefix[n++] = '_';
		prefix[n++] = (char)toupper((unsigned char)*s);
	}
	prefix[n++] = '_';
	return strncmp(value, prefix, n) == 0 && value[n] != '\0' ? n : 0;
}

bool pbenum_parse(const ProtobufCEnumDescriptor *descriptor, const char *text, int *value)
{
	for (unsigned i = 0; i < descriptor->n_values; i++) {
		const ProtobufCEnumValue *v = &descriptor->values[i];

		if (strcasecmp(text, v->name) != 0 &&
			strcasecmp(text, v->name + prefix_length(descriptor, v->name)) != 0)
			continue;
		*value = v->value;
		return true;
	}
	return false;
}

const char *pbtext_enum_name(
	const ProtobufCEnumDescriptor *descriptor, int value, char *buf, size_t size)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(descriptor, value);
	size_t n = 0;

	if (v == NULL) {
		snprintf(buf, size, "%d", value);
		return buf;
	}
	for (const char *s = v->name + prefix_length(descriptor, v->name); *s && n + 1 < size; s++)
		buf[n++] = (char)tolower((unsigned char)*s);
	if (size > 0)
		buf[n] = '\0';
	return buf;
}

void pbenum_list(const ProtobufCEnumDescriptor *descriptor, struct strbuf *out)
{
	unsigned shown = 0, total = 0;

	for (unsigned i = 0; i < descriptor->n_values; i++)
		total += descriptor->values[i].value != 0;
	for (unsigned i = 0; i < descriptor->n_values; i++) {
		const int value = descriptor->values[i].value;
		char name[128];

		if (value == 0)
			continue;
		shown++;
		strbuf_add_text(out, shown == 1 ? "" : shown == total ? " or " : ", ");
		strbuf_add_text(out, pbtext_enum_name(descriptor, value, name, sizeof(name)));
	}
}

/* Letters and digits only, in lower case: "displayName" and "display-name" are "display_name". */
static size_t word_fold(const char *text, char out[NEAREST_MAX_LEN])
{
	size_t n = 0;

	for (; *text; text++) {
		if (*text == '_' || *text == '-' || *text == ' ')
			continue;
		if (n == NEAREST_MAX_LEN)
			return 0;
		out[n++] = (char)tolower((unsigned char)*text);
	}
	return n;
}

static size_t min3(size_t a, size_t b, size_t c)
{
	const size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Edits (insert, delete, replace, swap of neighbours) between two words. */
static size_t word_distance(const char *a, size_t n, const char *b, size_t m)
{
	size_t rows[3][NEAREST_MAX_LEN + 1];
	size_t *before = rows[0], *last = rows[1], *now = rows[2];

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		size_t *spare = before;

		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			now[j] = min3(
				last[j] + 1, now[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < now[j])
				now[j] = before[j - 2] + 1;
		}
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

const ProtobufCFieldDescriptor *pbfield_nearest(
	const ProtobufCMessageDescriptor *descriptor, const char *text)
{
	const ProtobufCFieldDescriptor *best = NULL;
	char word[NEAREST_MAX_LEN], name[NEAREST_MAX_LEN];
	const size_t n = word_fold(text, word);
	size_t best_distance = n / 3 + 1; /* one slip in a short word, more in a long one */

	if (n == 0)
		return NULL;
	if (best_distance > 3)
		best_distance = 3;
	for (unsigned i = 0; i < descriptor->n_fields; i++) {
		const size_t m = word_fold(descriptor->fields[i].name, name);
		const size_t d = word_distance(word, n, name, m);

		if (d < best_distance || (d == best_distance && best == NULL && d < n)) {
			best_distance = d;
			best = &descriptor->fields[i];
		}
	}
	return best;
}
