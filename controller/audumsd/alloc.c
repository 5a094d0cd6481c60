/* The snapshot of allocations: shared records, copied when written. See alloc.h. */
#include "controller/audumsd/alloc.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- records ------------------------------------------------------------------------------ */

static void segment_put(struct alloc_segment *s)
{
	if (!s || --s->refs)
		return;
	for (size_t i = 0; i < s->n_places; i++)
		free(s->places[i].node);
	free(s->places);
	free(s->tenant);
	free(s->name);
	free(s);
}

static void node_put(struct alloc_node *n)
{
	if (!n || --n->refs)
		return;
	free(n->name);
	free(n);
}

static void link_put(struct alloc_link *l)
{
	if (!l || --l->refs)
		return;
	free(l->name);
	free(l);
}

static void rest_put(struct alloc_rest *r)
{
	if (!r || --r->refs)
		return;
	free(r->tenant);
	free(r->segment);
	free(r);
}

int alloc_set_text(char **field, const char *text)
{
	char *copy = strdup(text ? text : "");

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

int alloc_segment_add_place(struct alloc_segment *segment, const char *node, uint32_t rd_index,
	uint64_t generation, uint64_t digest)
{
	struct alloc_place *places;
	char *name = strdup(node);

	places = realloc(segment->places, (segment->n_places + 1) * sizeof(*places));
	if (places)
		segment->places = places;
	if (!name || !places) {
		free(name);
		return -ENOMEM;
	}
	places[segment->n_places++] = (struct alloc_place){name, rd_index, generation, digest};
	return 0;
}

static struct alloc_segment *segment_copy(const struct alloc_segment *from, const char *name)
{
	struct alloc_segment *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->refs = 1;
	s->name = strdup(name);
	s->tenant = strdup(from ? from->tenant : "");
	if (!s->name || !s->tenant)
		goto fail;
	if (!from)
		return s;
	s->vni = from->vni;
	for (size_t i = 0; i < from->n_places; i++) {
		const struct alloc_place *p = &from->places[i];

		if (alloc_segment_add_place(s, p->node, p->rd_index, p->generation, p->digest) < 0)
			goto fail;
	}
	return s;
fail:
	segment_put(s);
	return NULL;
}

struct alloc_segment *alloc_edit_segment(struct alloc *alloc, const char *name)
{
	struct alloc_segment *s = strmap_get(&alloc->segments, name), *copy;

	if (s && s->refs == 1)
		return s;
	copy = segment_copy(s, name);
	if (!copy || strmap_put(&alloc->segments, copy->name, copy) < 0) {
		segment_put(copy);
		return NULL;
	}
	segment_put(s);
	return copy;
}

struct alloc_node *alloc_edit_node(struct alloc *alloc, const char *name)
{
	struct alloc_node *n = strmap_get(&alloc->nodes, name), *copy;

	if (n && n->refs == 1)
		return n;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return NULL;
	if (n)
		*copy = *n;
	copy->refs = 1;
	copy->name = strdup(name);
	if (!copy->name || strmap_put(&alloc->nodes, copy->name, copy) < 0) {
		node_put(copy);
		return NULL;
	}
	node_put(n);
	return copy;
}

struct alloc_link *alloc_edit_link(struct alloc *alloc, const char *name)
{
	struct alloc_link *l = strmap_get(&alloc->links, name), *copy;

	if (l && l->refs == 1)
		return l;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return NULL;
	if (l)
		*copy = *l;
	copy->refs = 1;
	copy->name = strdup(name);
	if (!copy->name || strmap_put(&alloc->links, copy->name, copy) < 0) {
		link_put(copy);
		return NULL;
	}
	link_put(l);
	return copy;
}

struct alloc_rest *alloc_edit_rest(struct alloc *alloc, const char *name)
{
	struct alloc_rest *r = strmap_get(&alloc->rests, name), *copy;

	if (r && r->refs == 1)
		return r;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return NULL;
	copy->refs = 1;
	snprintf(copy->name, sizeof(copy->name), "%s", name);
	copy->freed_ms = r ? r->freed_ms : 0;
	copy->tenant = strdup(r ? r->tenant : "");
	copy->segment = strdup(r ? r->segment : "");
	if (!copy->tenant || !copy->segment || strmap_put(&alloc->rests, copy->name, copy) < 0) {
		rest_put(copy);
		return NULL;
	}
	rest_put(r);
	return copy;
}

void alloc_drop_segment(struct alloc *alloc, const char *name)
{
	segment_put(strmap_take(&alloc->segments, name));
}

void alloc_drop_node(struct alloc *alloc, const char *name)
{
	node_put(strmap_take(&alloc->nodes, name));
}

void alloc_drop_link(struct alloc *alloc, const char *name)
{
	link_put(strmap_take(&alloc->links, name));
}

void alloc_drop_rest(struct alloc *alloc, const char *name)
{
	rest_put(strmap_take(&alloc->rests, name));
}

/* ---- snapshots ---------------------------------------------------------------------------- */

struct alloc *alloc_new(void)
{
	return calloc(1, sizeof(struct alloc));
}

struct alloc *alloc_clone(const struct alloc *alloc)
{
	struct alloc *copy = alloc_new();
	void *record;

	if (!copy)
		return NULL;
	if (strmap_copy(&copy->segments, &alloc->segments) < 0 ||
		strmap_copy(&copy->nodes, &alloc->nodes) < 0 ||
		strmap_copy(&copy->links, &alloc->links) < 0 ||
		strmap_copy(&copy->rests, &alloc->rests) < 0) {
		/* no reference was taken yet */
		strmap_free(&copy->segments);
		strmap_free(&copy->nodes);
		strmap_free(&copy->links);
		strmap_free(&copy->rests);
		free(copy);
		return NULL;
	}
	for (size_t at = 0; (record = strmap_next(&copy->segments, &at));)
		((struct alloc_segment *)record)->refs++;
	for (size_t at = 0; (record = strmap_next(&copy->nodes, &at));)
		((struct alloc_node *)record)->refs++;
	for (size_t at = 0; (record = strmap_next(&copy->links, &at));)
		((struct alloc_link *)record)->refs++;
	for (size_t at = 0; (record = strmap_next(&copy->rests, &at));)
		((struct alloc_rest *)record)->refs++;
	return copy;
}

void alloc_free(struct alloc *alloc)
{
	void *record;

	if (!alloc)
		return;
	for (size_t at = 0; (record = strmap_next(&alloc->segments, &at));)
		segment_put(record);
	for (size_t at = 0; (record = strmap_next(&alloc->nodes, &at));)
		node_put(record);
	for (size_t at = 0; (record = strmap_next(&alloc->links, &at));)
		link_put(record);
	for (size_t at = 0; (record = strmap_next(&alloc->rests, &at));)
		rest_put(record);
	strmap_free(&alloc->segments);
	strmap_free(&alloc->nodes);
	strmap_free(&alloc->links);
	strmap_free(&alloc->rests);
	free(alloc);
}

const struct alloc_segment *alloc_segment(const struct alloc *alloc, const char *name)
{
	return strmap_get(&alloc->segments, name);
}

const struct alloc_node *alloc_node(const struct alloc *alloc, const char *name)
{
	return strmap_get(&alloc->nodes, name);
}

const struct alloc_link *alloc_link(const struct alloc *alloc, const char *name)
{
	return strmap_get(&alloc->links, name);
}

const struct alloc_place *alloc_place(const struct alloc_segment *segment, const char *node)
{
	size_t low = 0, high = segment->n_places;

	while (low < high) {
		size_t mid = (low + high) / 2;
		int c = strcmp(node, segment->places[mid].node);

		if (!c)
			return &segment->places[mid];
		if (c < 0)
			high = mid;
		else
			low = mid + 1;
	}
	return NULL;
}

/* ---- small helpers ------------------------------------------------------------------------ */

const char *problem_path(const struct model *change, Audums__V1__Kind kind, const char *name,
	const char *field, char *buf, size_t size)
{
	ssize_t at = change ? model_position(change, kind, name) : -1;

	if (at >= 0)
		snprintf(buf, size, "%s[%zd]%s%s", kind_plural(kind), at, *field ? "." : "", field);
	else
		snprintf(buf, size, "%s/%s%s%s", kind_name(kind), name, *field ? "." : "", field);
	return buf;
}

bool ipv4_parse(const char *text, uint32_t *address, unsigned int *len)
{
	char buf[IPV4_TEXT];
	struct in_addr in;
	char *slash;

	if (strlen(text) >= sizeof(buf))
		return false;
	memcpy(buf, text, strlen(text) + 1);
	slash = strchr(buf, '/');
	*len = 32;
	if (slash) {
		char *end;
		unsigned long n;

		*slash = '\0';
		n = strtoul(slash + 1, &end, 10);
		if (!slash[1] || *end || n > 32)
			return false;
		*len = (unsigned int)n;
	}
	if (inet_pton(AF_INET, buf, &in) != 1)
		return false;
	*address = ntohl(in.s_addr);
	return true;
}

const char *ipv4_print(uint32_t address, char *buf)
{
	struct in_addr in = {.s_addr = htonl(address)};

	inet_ntop(AF_INET, &in, buf, IPV4_TEXT);
	return buf;
}
