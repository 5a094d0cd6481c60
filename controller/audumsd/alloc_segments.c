/*
 * Allocation for segments: VNIs, and RD indexes on each node of the sites a segment spans; and the
 * quarantine of both. See alloc.h.
 *
 * Three passes over the segments that are looked at: first what is given up, then explicit and kept
 * numbers, then those that have to be found; so nothing is taken over without its rest, and a found
 * one never takes what is asked for further down.
 */
#include "controller/audumsd/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VNI_COUNT (1u << 24)
#define RD_COUNT  (1u << 16)
#define PURGE_MAX 32 /* expired rests removed in passing, a change */

/* Which numbers are taken. Made only when something has to be found or compared. */
struct numbers {
	uint64_t *vnis;      /* taken by a segment */
	uint64_t *vni_rests; /* resting */
	struct strmap rds;   /* node -> struct rd_bits */
};
struct rd_bits {
	char *node;
	uint64_t words[RD_COUNT / 64];
};

static void bit_set(uint64_t *words, uint32_t i)
{
	words[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool rest_active(const struct alloc_rest *rest, const struct alloc_task *task)
{
	/* a clock that went back doesn't end a rest early */
	return task->now_ms < rest->freed_ms || task->now_ms - rest->freed_ms < task->quarantine_ms;
}

static void vni_rest_name(char *buf, size_t size, uint32_t vni)
{
	snprintf(buf, size, "vni/%u", vni);
}

static void rd_rest_name(char *buf, size_t size, const char *node, uint32_t index)
{
	snprintf(buf, size, "rd/%s/%u", node, index);
}

static int rest_begin(struct alloc *alloc, const struct alloc_task *task, const char *name,
	const char *tenant, const char *segment)
{
	struct alloc_rest *rest = alloc_edit_rest(alloc, name);

	if (!rest || alloc_set_text(&rest->tenant, tenant) < 0 ||
		alloc_set_text(&rest->segment, segment) < 0)
		return -ENOMEM;
	rest->freed_ms = task->now_ms;
	return touched_add(task->touched, RECORD_REST, 0, name);
}

static int rest_end(struct alloc *alloc, const struct alloc_task *task, const char *name)
{
	if (!strmap_get(&alloc->rests, name))
		return 0;
	alloc_drop_rest(alloc, name);
	return touched_add(task->touched, RECORD_REST, 0, name);
}

static int vni_free(
	struct alloc *alloc, const struct alloc_task *task, const struct alloc_segment *s)
{
	char name[64];

	if (!s->vni)
		return 0;
	vni_rest_name(name, sizeof(name), s->vni);
	return rest_begin(alloc, task, name, s->tenant, s->name);
}

static int rd_free(struct alloc *alloc, const struct alloc_task *task,
	const struct alloc_segment *s, const struct alloc_place *place)
{
	char name[64];

	if (!model_node(task->after, place->node))
		return 0;
	rd_rest_name(name, sizeof(name), place->node, place->rd_index);
	return rest_begin(alloc, task, name, s->tenant, s->name);
}

/* Rests of a node that has gone say nothing any more; expired ones neither. */
static int rests_purge(struct alloc *alloc, const struct alloc_task *task)
{
	char names[PURGE_MAX][64];
	const struct alloc_rest *rest;
	size_t n = 0;
	int ret = 0;

	for (size_t at = 0; n < PURGE_MAX && (rest = strmap_next(&alloc->rests, &at));)
		if (!rest_active(rest, task))
			snprintf(names[n++], sizeof(names[0]), "%s", rest->name);
	for (size_t i = 0; i < n && !ret; i++)
		ret = rest_end(alloc, task, names[i]);
	return ret;
}

/* ---- taken numbers ------------------------------------------------------------------------ */

static void numbers_free(struct numbers *numbers)
{
	struct rd_bits *bits;

	for (size_t at = 0; (bits = strmap_next(&numbers->rds, &at));) {
		free(bits->node);
		free(bits);
	}
	strmap_free(&numbers->rds);
	free(numbers->vnis);
	free(numbers->vni_rests);
}

static int numbers_vnis(
	struct numbers *numbers, const struct alloc *alloc, const struct alloc_task *task)
{
	const struct alloc_segment *s;
	const struct alloc_rest *rest;

	if (numbers->vnis)
		return 0;
	numbers->vnis = calloc(VNI_COUNT / 64, sizeof(uint64_t));
	numbers->vni_rests = calloc(VNI_COUNT / 64, sizeof(uint64_t));
	if (!numbers->vnis || !numbers->vni_rests)
		return -ENOMEM;
	for (size_t at = 0; (s = strmap_next(&alloc->segments, &at));)
		if (s->vni && s->vni < VNI_COUNT)
			bit_set(numbers->vnis, s->vni);
	for (size_t at = 0; (rest = strmap_next(&alloc->rests, &at));) {
		unsigned int vni;

		if (sscanf(rest->name, "vni/%u", &vni) == 1 && vni < VNI_COUNT &&
			rest_active(rest, task))
			bit_set(numbers->vni_rests, vni);
	}
	return 0;
}

static struct rd_bits *numbers_node(struct numbers *numbers, const char *node)
{
	struct rd_bits *bits = strmap_get(&numbers->rds, node);

	if (bits)
		return bits;
	bits = calloc(1, sizeof(*bits));
	if (!bits)
		return NULL;
	bits->node = strdup(node);
	if (!bits->node || strmap_put(&numbers->rds, bits->node, bits) < 0) {
		free(bits->node);
		free(bits);
		return NULL;
	}
	bit_set(bits->words, 0);
	return bits;
}

static int numbers_rds(
	struct numbers *numbers, const struct alloc *alloc, const struct alloc_task *task)
{
	const struct alloc_segment *s;
	const struct alloc_rest *rest;
	struct rd_bits *bits;

	if (numbers->rds.size)
		return 0;
	for (size_t at = 0; (s = strmap_next(&alloc->segments, &at));)
		for (size_t i = 0; i < s->n_places; i++) {
			bits = numbers_node(numbers, s->places[i].node);
			if (!bits)
				return -ENOMEM;
			bit_set(bits->words, s->places[i].rd_index);
		}
	for (size_t at = 0; (rest = strmap_next(&alloc->rests, &at));) {
		char node[64];
		unsigned int index;

		if (sscanf(rest->name, "rd/%63[^/]/%u", node, &index) != 2 || index >= RD_COUNT ||
			!rest_active(rest, task))
			continue;
		bits = numbers_node(numbers, node);
		if (!bits)
			return -ENOMEM;
		bit_set(bits->words, index);
	}
	return 0;
}

/* The lowest clear bit of first..last in both maps; 0 when there is none (0 is never free). */
static uint32_t lowest(const uint64_t *a, const uint64_t *b, uint32_t first, uint32_t last)
{
	for (uint64_t i = first; i <= last;) {
		uint64_t busy = a[i / 64] | (b ? b[i / 64] : 0);

		busy |= ((uint64_t)1 << (i % 64)) - 1;
		if (~busy) {
			i = i / 64 * 64 + (uint64_t)__builtin_ctzll(~busy);
			return i <= last ? (uint32_t)i : 0;
		}
		i = (i / 64 + 1) * 64;
	}
	return 0;
}

/* ---- VNIs --------------------------------------------------------------------------------- */

static bool vni_in_pool(const Audums__V1__Provider *provider, uint32_t vni)
{
	return provider && provider->vnis && vni >= provider->vnis->first &&
	       vni <= provider->vnis->last;
}

static const char *segment_path(
	const struct alloc_task *task, const char *name, char *buf, size_t size)
{
	return problem_path(task->change, AUDUMS__V1__KIND__KIND_SEGMENT, name, "vni", buf, size);
}

/* Who else has the VNI; on the way of an error only. */
static const char *vni_owner(const struct alloc *alloc, uint32_t vni, const char *but)
{
	const struct alloc_segment *s;

	for (size_t at = 0; (s = strmap_next(&alloc->segments, &at));)
		if (s->vni == vni && strcmp(s->name, but))
			return s->name;
	return NULL;
}

static int vni_set(
	struct alloc *alloc, const struct alloc_task *task, const char *name, uint32_t vni)
{
	struct alloc_segment *s;
	char rest[64];
	int ret;

	s = alloc_edit_segment(alloc, name);
	if (!s)
		return -ENOMEM;
	ret = vni_free(alloc, task, s);
	s->vni = vni;
	if (!ret && vni) {
		vni_rest_name(rest, sizeof(rest), vni);
		ret = rest_end(alloc, task, rest);
	}
	if (!ret)
		ret = touched_add(
			task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_SEGMENT, name);
	return ret;
}

/*
 * Give up a VNI that is not the segment's any more, before anybody is given one: else a segment
 * that stands further up in the intent would take over, without a rest, what another tenant's
 * leaves in the same change, and nodes that are not equally far would join the two.
 */
static int vni_leave(
	struct alloc *alloc, const struct alloc_task *task, const Audums__V1__Segment *segment)
{
	const struct alloc_segment *have = alloc_segment(alloc, segment->name);
	const Audums__V1__Segment *before =
		task->before ? model_segment(task->before, segment->name) : NULL;
	const Audums__V1__Provider *provider = model_provider(task->after, segment->provider);

	if (!have || !have->vni)
		return 0;
	if (segment->vni ? segment->vni == have->vni : vni_in_pool(provider, have->vni))
		return 0;
	/* the same owner has shrunk its pool: vni_keep() says so */
	if (!segment->vni && before && !strcmp(before->provider, segment->provider) && !before->vni)
		return 0;
	return vni_set(alloc, task, segment->name, 0);
}

/* An explicit VNI, or the one that is there if it is still good. */
static int vni_keep(
	struct alloc *alloc, const struct alloc_task *task, const Audums__V1__Segment *segment)
{
	const struct alloc_segment *have = alloc_segment(alloc, segment->name);
	const Audums__V1__Provider *provider = model_provider(task->after, segment->provider);
	uint32_t vni = have ? have->vni : 0;
	char name[64], path[160];

	if (segment->vni) {
		const struct alloc_rest *rest;

		if (segment->vni == vni)
			return 0;
		vni_rest_name(name, sizeof(name), segment->vni);
		rest = strmap_get(&alloc->rests, name);
		if (rest && rest_active(rest, task) && strcmp(rest->tenant, segment->tenant)) {
			uint64_t left = rest->freed_ms + task->quarantine_ms - task->now_ms;

			problems_add(task->problems,
				segment_path(task, segment->name, path, sizeof(path)),
				"VNI %u was freed by segment %s of tenant %s and rests for another "
				"%llu s; take another one or ask again then",
				segment->vni, rest->segment, rest->tenant,
				(unsigned long long)(left / 1000 + 1));
			return 0;
		}
		return vni_set(alloc, task, segment->name, segment->vni);
	}
	/* vni_leave() has given up what a new owner's pool doesn't hold: this is the pool's doing
	 */
	if (!vni || vni_in_pool(provider, vni))
		return 0;
	problems_add(task->problems,
		problem_path(task->change, AUDUMS__V1__KIND__KIND_PROVIDER, segment->provider,
			"vnis", path, sizeof(path)),
		"segment %s has VNI %u from this pool: the pool must contain it", segment->name,
		vni);
	return 0;
}

static int vni_give(struct alloc *alloc, const struct alloc_task *task, struct numbers *numbers,
	const Audums__V1__Segment *segment)
{
	const struct alloc_segment *have = alloc_segment(alloc, segment->name);
	const Audums__V1__Provider *provider = model_provider(task->after, segment->provider);
	const char *owner;
	uint32_t vni = 0;
	char path[160];

	if (segment->vni) {
		owner = vni_owner(alloc, segment->vni, segment->name);
		if (owner)
			problems_add(task->problems,
				segment_path(task, segment->name, path, sizeof(path)),
				"VNI %u is in use by segment %s; expected a free one", segment->vni,
				owner);
		return 0;
	}
	if (have && have->vni)
		return 0;
	if (numbers_vnis(numbers, alloc, task) < 0)
		return -ENOMEM;
	if (provider && provider->vnis && provider->vnis->last < VNI_COUNT)
		vni = lowest(numbers->vnis, numbers->vni_rests, provider->vnis->first,
			provider->vnis->last);
	if (!vni) {
		problems_add(task->problems, segment_path(task, segment->name, path, sizeof(path)),
			"provider %s has no free VNI for segment %s (freed ones rest for %llu s); "
			"widen its pool or delete segments",
			segment->provider, segment->name,
			(unsigned long long)task->quarantine_ms / 1000);
		return 0;
	}
	bit_set(numbers->vnis, vni);
	return vni_set(alloc, task, segment->name, vni);
}

/* ---- places ------------------------------------------------------------------------------- */

static int place_compare(const void *a, const void *b)
{
	return strcmp(((const struct alloc_place *)a)->node, ((const struct alloc_place *)b)->node);
}

/* Give up the places on nodes the segment doesn't lie on any more. */
static int places_leave(
	struct alloc *alloc, const struct alloc_task *task, const Audums__V1__Segment *segment)
{
	const struct alloc_segment *have = alloc_segment(alloc, segment->name);
	struct alloc_segment *s;
	size_t kept = 0;
	int ret = 0;

	for (size_t i = 0; have && i < have->n_places; i++) {
		const Audums__V1__Node *node = model_node(task->after, have->places[i].node);

		for (size_t k = 0; node && k < segment->n_sites; k++)
			if (!strcmp(segment->sites[k], node->site)) {
				kept++;
				break;
			}
	}
	if (!have || kept == have->n_places)
		return 0;
	s = alloc_edit_segment(alloc, segment->name);
	if (!s)
		return -ENOMEM;
	kept = 0;
	for (size_t i = 0; i < s->n_places; i++) {
		const Audums__V1__Node *node = model_node(task->after, s->places[i].node);
		bool stays = false;

		for (size_t k = 0; node && k < segment->n_sites && !stays; k++)
			stays = !strcmp(segment->sites[k], node->site);
		if (stays) {
			s->places[kept++] = s->places[i];
			continue;
		}
		if (!ret)
			ret = rd_free(alloc, task, s, &s->places[i]);
		free(s->places[i].node);
	}
	s->n_places = kept;
	if (!ret)
		ret = touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_SEGMENT,
			segment->name);
	return ret;
}

static int place_give(struct alloc *alloc, const struct alloc_task *task, struct numbers *numbers,
	const char *name, const char *node)
{
	struct alloc_segment *s;
	struct rd_bits *bits;
	uint32_t index;
	char path[160];

	if (numbers_rds(numbers, alloc, task) < 0)
		return -ENOMEM;
	bits = numbers_node(numbers, node);
	if (!bits)
		return -ENOMEM;
	index = lowest(bits->words, NULL, 1, RD_COUNT - 1);
	if (!index) {
		problems_add(task->problems,
			problem_path(task->change, AUDUMS__V1__KIND__KIND_SEGMENT, name, "sites",
				path, sizeof(path)),
			"node %s has no route distinguisher left (65535 in use or resting)", node);
		return 0;
	}
	bit_set(bits->words, index);
	s = alloc_edit_segment(alloc, name);
	if (!s || alloc_segment_add_place(s, node, index, 0, 0) < 0)
		return -ENOMEM;
	return touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_SEGMENT, name);
}

static int places_enter(struct alloc *alloc, const struct alloc_task *task, struct numbers *numbers,
	const Audums__V1__Segment *segment)
{
	const struct alloc_segment *had = alloc_segment(alloc, segment->name);
	size_t n_had = had ? had->n_places : 0;
	struct alloc_segment *s;
	int ret = 0;

	for (size_t k = 0; k < segment->n_sites; k++) {
		const Audums__V1__Node *const *nodes;
		size_t n = model_site_nodes(task->after, segment->sites[k], &nodes);

		for (size_t i = 0; i < n && !ret; i++) {
			const struct alloc_segment *have = alloc_segment(alloc, segment->name);
			bool there = false;

			/* new places are behind the sorted ones until the end */
			for (size_t p = 0; have && p < have->n_places && !there; p++)
				there = !strcmp(have->places[p].node, nodes[i]->name);
			if (!there)
				ret = place_give(
					alloc, task, numbers, segment->name, nodes[i]->name);
		}
	}
	if (ret)
		return ret;
	had = alloc_segment(alloc, segment->name);
	if (had && had->n_places != n_had) {
		s = alloc_edit_segment(alloc, segment->name);
		if (!s)
			return -ENOMEM;
		qsort(s->places, s->n_places, sizeof(*s->places), place_compare);
	}
	return 0;
}

/* ---- all of it ---------------------------------------------------------------------------- */

static int segment_drop(struct alloc *alloc, const struct alloc_task *task, const char *name)
{
	const struct alloc_segment *s = alloc_segment(alloc, name);
	int ret = 0;

	if (!s)
		return 0;
	ret = vni_free(alloc, task, s);
	for (size_t i = 0; i < s->n_places && !ret; i++)
		ret = rd_free(alloc, task, s, &s->places[i]);
	if (!ret)
		ret = touched_add(
			task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_SEGMENT, name);
	alloc_drop_segment(alloc, name);
	return ret;
}

static int tenant_note(struct alloc *alloc, const Audums__V1__Segment *segment)
{
	const struct alloc_segment *have = alloc_segment(alloc, segment->name);
	struct alloc_segment *s;

	if (have && !strcmp(have->tenant, segment->tenant))
		return 0;
	s = alloc_edit_segment(alloc, segment->name);
	return s ? alloc_set_text(&s->tenant, segment->tenant) : -ENOMEM;
}

static bool looked_at(const struct alloc_task *task, const char *name)
{
	return task->all || strmap_get(task->segments, name);
}

int alloc_update_segments(struct alloc *alloc, const struct alloc_task *task)
{
	const Audums__V1__Document *doc = model_document(task->after);
	const Audums__V1__Document *old = task->before ? model_document(task->before) : NULL;
	struct numbers numbers = {0};
	int ret;

	ret = rests_purge(alloc, task);
	for (size_t i = 0; old && i < old->n_segments && !ret; i++) {
		const char *name = old->segments[i]->name;

		if (looked_at(task, name) && !model_segment(task->after, name))
			ret = segment_drop(alloc, task, name);
	}
	for (size_t i = 0; i < doc->n_segments && !ret; i++)
		if (looked_at(task, doc->segments[i]->name))
			ret = vni_leave(alloc, task, doc->segments[i]);
	for (size_t i = 0; i < doc->n_segments && !ret; i++) {
		if (!looked_at(task, doc->segments[i]->name))
			continue;
		ret = vni_keep(alloc, task, doc->segments[i]);
		if (!ret)
			ret = tenant_note(alloc, doc->segments[i]);
		if (!ret)
			ret = places_leave(alloc, task, doc->segments[i]);
	}
	for (size_t i = 0; i < doc->n_segments && !ret; i++) {
		if (!looked_at(task, doc->segments[i]->name))
			continue;
		ret = vni_give(alloc, task, &numbers, doc->segments[i]);
		if (!ret)
			ret = places_enter(alloc, task, &numbers, doc->segments[i]);
	}
	numbers_free(&numbers);
	return ret;
}
