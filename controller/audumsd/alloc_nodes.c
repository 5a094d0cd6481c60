/*
 * Allocation for nodes and links: ASNs, VTEP addresses, /31 networks. See alloc.h.
 *
 * These do not rest when freed: nothing of a tenant hangs on them, and a node that has gone has
 * left the mesh with its peers' configuration.
 */
#include "controller/audumsd/alloc.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A pool of numbers: first + i, for i in 0..n-1, without those marked. */
struct pool {
	uint64_t *words;
	uint32_t first;
	uint32_t step; /* 1 for addresses and ASNs, 2 for /31 networks */
	uint32_t n;
};

static int pool_init(struct pool *p, uint32_t first, uint32_t step, uint32_t n)
{
	*p = (struct pool){.first = first, .step = step, .n = n};
	p->words = calloc(n / 64 + 1, sizeof(*p->words));
	return p->words ? 0 : -ENOMEM;
}

static void pool_mark(struct pool *p, uint32_t number)
{
	uint32_t i = (number - p->first) / p->step;

	if (number >= p->first && i < p->n)
		p->words[i / 64] |= (uint64_t)1 << (i % 64);
}

static bool pool_has(const struct pool *p, uint32_t number)
{
	return number >= p->first && (number - p->first) / p->step < p->n;
}

/* The lowest free number; false when there is none. */
static bool pool_lowest(const struct pool *p, uint32_t *number)
{
	for (uint32_t w = 0; w <= p->n / 64; w++) {
		uint32_t i;

		if (!~p->words[w])
			continue;
		i = w * 64 + (uint32_t)__builtin_ctzll(~p->words[w]);
		if (i >= p->n)
			return false;
		*number = p->first + i * p->step;
		return true;
	}
	return false;
}

enum what {
	WHAT_ASN,
	WHAT_VTEP,
	WHAT_LINK,
};

/* The pool of one provider. An unusable one (check.h has said so) is empty. */
static int pool_of(struct pool *p, const Audums__V1__Provider *provider, enum what what)
{
	uint32_t address;
	unsigned int len;
	uint64_t n;

	if (!provider)
		return pool_init(p, 0, 1, 0);
	if (what == WHAT_ASN) {
		/* the first one stands in route targets */
		if (!provider->asns || provider->asns->last <= provider->asns->first)
			return pool_init(p, 0, 1, 0);
		return pool_init(p, provider->asns->first + 1, 1,
			provider->asns->last - provider->asns->first);
	}
	if (!ipv4_parse(what == WHAT_VTEP ? provider->vteps : provider->links, &address, &len) ||
		len < 8)
		return pool_init(p, 0, 1, 0);
	n = (uint64_t)1 << (32 - len);
	if (what == WHAT_LINK)
		return pool_init(p, address, 2, (uint32_t)(n / 2));
	/* keep clear of what people read as the network's and the broadcast address */
	if (len < 31)
		return pool_init(p, address + 1, 1, (uint32_t)n - 2);
	return pool_init(p, address, 1, (uint32_t)n);
}

static uint32_t *node_number(struct alloc_node *n, enum what what)
{
	return what == WHAT_ASN ? &n->asn : &n->vtep;
}

static const char *what_name(enum what what)
{
	return what == WHAT_ASN ? "ASN" : what == WHAT_VTEP ? "VTEP address" : "link network";
}

static const char *number_print(enum what what, uint32_t number, char *buf)
{
	if (what == WHAT_ASN)
		snprintf(buf, IPV4_TEXT, "%u", number);
	else
		ipv4_print(number, buf);
	return buf;
}

/* What the intent asks for; 0: nothing. */
static uint32_t node_explicit(const Audums__V1__Node *node, enum what what)
{
	uint32_t address;
	unsigned int len;

	if (what == WHAT_ASN)
		return node->asn;
	return *node->vtep && ipv4_parse(node->vtep, &address, &len) ? address : 0;
}

/* Who else has the number; NULL when nobody. */
static const struct alloc_node *node_owner(
	const struct alloc *alloc, enum what what, uint32_t number, const char *but)
{
	const struct alloc_node *n;

	for (size_t at = 0; (n = strmap_next(&alloc->nodes, &at));)
		if ((what == WHAT_ASN ? n->asn : n->vtep) == number && strcmp(n->name, but))
			return n;
	return NULL;
}

/* Set a number of a node's record, if it differs. */
static int node_set(struct alloc *alloc, const struct alloc_task *task, const char *name,
	enum what what, uint32_t number)
{
	const struct alloc_node *have = alloc_node(alloc, name);
	struct alloc_node *n;

	if (have && (what == WHAT_ASN ? have->asn : have->vtep) == number)
		return 0;
	n = alloc_edit_node(alloc, name);
	if (!n)
		return -ENOMEM;
	*node_number(n, what) = number;
	return touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_NODE, name);
}

/* Explicit values, and those that are there and still good. */
static int node_keep(struct alloc *alloc, const struct alloc_task *task,
	const Audums__V1__Node *node, enum what what)
{
	const struct alloc_node *have = alloc_node(alloc, node->name);
	const Audums__V1__Node *before = task->before ? model_node(task->before, node->name) : NULL;
	uint32_t want = node_explicit(node, what);
	uint32_t number = have ? (what == WHAT_ASN ? have->asn : have->vtep) : 0;
	char path[160], text[IPV4_TEXT];
	struct pool pool;
	bool in;

	if (want)
		return node_set(alloc, task, node->name, what, want);
	if (!number)
		return 0;
	if (pool_of(&pool, model_provider(task->after, node->provider), what) < 0)
		return -ENOMEM;
	in = pool_has(&pool, number);
	free(pool.words);
	if (in)
		return 0;
	/* a new owner: a number of its pool instead; the same owner has shrunk its pool */
	if (!before || strcmp(before->provider, node->provider) || node_explicit(before, what))
		return node_set(alloc, task, node->name, what, 0);
	problems_add(task->problems,
		problem_path(task->change, AUDUMS__V1__KIND__KIND_PROVIDER, node->provider,
			what == WHAT_ASN ? "asns" : "vteps", path, sizeof(path)),
		"node %s has the %s %s from this pool: the pool must contain it, or the node must "
		"ask for it by itself",
		node->name, what_name(what), number_print(what, number, text));
	return 0;
}

static int node_give(struct alloc *alloc, const struct alloc_task *task,
	const Audums__V1__Node *node, enum what what)
{
	const struct alloc_node *have = alloc_node(alloc, node->name), *n;
	uint32_t want = node_explicit(node, what), number;
	const struct alloc_node *owner;
	char path[160], text[IPV4_TEXT];
	struct pool pool;
	bool found;

	if (want) {
		owner = node_owner(alloc, what, want, node->name);
		if (owner)
			problems_add(task->problems,
				problem_path(task->change, AUDUMS__V1__KIND__KIND_NODE, node->name,
					what == WHAT_ASN ? "asn" : "vtep", path, sizeof(path)),
				"%s %s is in use by node %s; expected a free one", what_name(what),
				number_print(what, want, text), owner->name);
		return 0;
	}
	if (have && (what == WHAT_ASN ? have->asn : have->vtep))
		return 0;
	if (pool_of(&pool, model_provider(task->after, node->provider), what) < 0)
		return -ENOMEM;
	for (size_t at = 0; (n = strmap_next(&alloc->nodes, &at));)
		pool_mark(&pool, what == WHAT_ASN ? n->asn : n->vtep);
	found = pool_lowest(&pool, &number);
	free(pool.words);
	if (found)
		return node_set(alloc, task, node->name, what, number);
	problems_add(task->problems,
		problem_path(task->change, AUDUMS__V1__KIND__KIND_NODE, node->name,
			what == WHAT_ASN ? "asn" : "vtep", path, sizeof(path)),
		"provider %s has no %s left for node %s; widen its pool", node->provider,
		what_name(what), node->name);
	return 0;
}

static int update_nodes(struct alloc *alloc, const struct alloc_task *task)
{
	const Audums__V1__Document *doc = model_document(task->after);
	const Audums__V1__Document *old = task->before ? model_document(task->before) : NULL;
	int ret = 0;

	for (size_t i = 0; old && i < old->n_nodes && !ret; i++) {
		const char *name = old->nodes[i]->name;

		if (model_node(task->after, name))
			continue;
		alloc_drop_node(alloc, name);
		ret = touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_NODE, name);
		if (!ret)
			ret = touched_add(task->touched, RECORD_DESIRED, 0, name);
	}
	for (enum what what = WHAT_ASN; what <= WHAT_VTEP; what++) {
		for (size_t i = 0; i < doc->n_nodes && !ret; i++)
			ret = node_keep(alloc, task, doc->nodes[i], what);
		for (size_t i = 0; i < doc->n_nodes && !ret; i++)
			ret = node_give(alloc, task, doc->nodes[i], what);
	}
	return ret;
}

static int link_give(
	struct alloc *alloc, const struct alloc_task *task, const Audums__V1__Link *link)
{
	const Audums__V1__Link *before = task->before ? model_link(task->before, link->name) : NULL;
	const struct alloc_link *have = alloc_link(alloc, link->name), *l;
	struct alloc_link *edit;
	uint32_t number = 0;
	char path[160], text[IPV4_TEXT];
	struct pool pool;
	bool found = false;

	if (pool_of(&pool, model_provider(task->after, link->provider), WHAT_LINK) < 0)
		return -ENOMEM;
	if (have && pool_has(&pool, have->network)) {
		free(pool.words);
		return 0;
	}
	if (have && before && !strcmp(before->provider, link->provider)) {
		problems_add(task->problems,
			problem_path(task->change, AUDUMS__V1__KIND__KIND_PROVIDER, link->provider,
				"links", path, sizeof(path)),
			"link %s has the network %s/31 from this pool: the pool must contain it",
			link->name, ipv4_print(have->network, text));
		free(pool.words);
		return 0;
	}
	for (size_t at = 0; (l = strmap_next(&alloc->links, &at));)
		pool_mark(&pool, l->network);
	found = pool_lowest(&pool, &number);
	free(pool.words);
	if (!found) {
		problems_add(task->problems,
			problem_path(task->change, AUDUMS__V1__KIND__KIND_LINK, link->name, "",
				path, sizeof(path)),
			"provider %s has no link network left for link %s; widen its pool",
			link->provider, link->name);
		return 0;
	}
	edit = alloc_edit_link(alloc, link->name);
	if (!edit)
		return -ENOMEM;
	edit->network = number;
	return touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_LINK, link->name);
}

static int update_links(struct alloc *alloc, const struct alloc_task *task)
{
	const Audums__V1__Document *doc = model_document(task->after);
	const Audums__V1__Document *old = task->before ? model_document(task->before) : NULL;
	int ret = 0;

	for (size_t i = 0; old && i < old->n_links && !ret; i++) {
		const char *name = old->links[i]->name;

		if (model_link(task->after, name))
			continue;
		alloc_drop_link(alloc, name);
		ret = touched_add(task->touched, RECORD_OBJECT, AUDUMS__V1__KIND__KIND_LINK, name);
	}
	for (size_t i = 0; i < doc->n_links && !ret; i++)
		ret = link_give(alloc, task, doc->links[i]);
	return ret;
}

int alloc_update(struct alloc *alloc, const struct alloc_task *task)
{
	int ret = 0;

	if (task->all)
		ret = update_nodes(alloc, task);
	if (!ret && task->all)
		ret = update_links(alloc, task);
	if (!ret)
		ret = alloc_update_segments(alloc, task);
	return ret;
}
