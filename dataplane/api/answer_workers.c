/* Replies about what workers count of themselves; see answer.h and making.h. */
#include "dataplane/dpdk_compat.h"

#include "dataplane/api/making.h"

#include <assert.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_graph.h>
#include <rte_graph_worker.h>

void making_counters(struct making *mk, enum counter_kind kind, const void *base,
	Audums__V1__Counter ***list, size_t *n)
{
	const struct counter_fields *fields = &counters_fields[kind];

	*n = 0;
	*list = arena_alloc(&mk->arena, fields->n * sizeof(**list));
	for (size_t i = 0; i < fields->n && *list != NULL; i++) {
		Audums__V1__Counter *c = NEW(&mk->arena, Audums__V1__Counter, counter);

		if (c == NULL)
			return; /* the whole reply is given up */
		c->name = (char *)(uintptr_t)fields->list[i].name;
		c->value = counter_value(base, &fields->list[i]);
		(*list)[(*n)++] = c;
	}
}

void make_drops(struct making *mk)
{
	Audums__V1__DropList *list = NEW(&mk->arena, Audums__V1__DropList, drop_list);

	static_assert(DROP_COUNT <= ENTRIES_A_REPLY, "all reasons go in one reply");
	for (unsigned int reason = 0; reason < DROP_COUNT; reason++) {
		Audums__V1__DropCounter *d = NEW(&mk->arena, Audums__V1__DropCounter, drop_counter);

		if (d == NULL || list == NULL)
			return;
		d->reason = (char *)(uintptr_t)drop_name(reason);
		d->description = (char *)(uintptr_t)drop_text(reason);
		d->workers = arena_alloc(&mk->arena, mk->dp->worker_count * sizeof(*d->workers));
		for (unsigned int i = 0; i < mk->dp->worker_count && d->workers != NULL; i++)
			d->workers[d->n_workers++] = stat_read(&mk->dp->workers[i]->drops[reason]);
		d->packets = counters_drop(mk->dp, reason);
		making_put(mk, d);
	}
	list->n_drops = mk->n;
	list->drops = (Audums__V1__DropCounter **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_DROPS;
	mk->reply.drops = list;
}

static Audums__V1__GraphNodeStat *node_find(struct making *mk, const char *name)
{
	Audums__V1__GraphNodeStat *s;

	for (size_t i = 0; i < mk->n; i++) {
		s = mk->entries[i];
		if (strcmp(s->name, name) == 0)
			return s;
	}
	if (mk->full)
		return NULL;
	s = NEW(&mk->arena, Audums__V1__GraphNodeStat, graph_node_stat);
	if (s == NULL)
		return NULL;
	s->name = arena_printf(&mk->arena, "%s", name);
	return making_put(mk, s) ? s : NULL;
}

void make_nodes(struct making *mk)
{
	Audums__V1__GraphNodeList *list =
		NEW(&mk->arena, Audums__V1__GraphNodeList, graph_node_list);

	for (unsigned int i = 0; i < mk->dp->worker_count; i++) {
		struct rte_graph *graph = mk->dp->workers[i]->graph;
		struct rte_node *node;
		rte_graph_off_t off;
		rte_node_t count;

		rte_graph_foreach_node(count, off, graph, node)
		{
			Audums__V1__GraphNodeStat *s = node_find(mk, node->name);

			if (s == NULL)
				return;
			s->calls += stat_read(&node->total_calls);
			s->packets += stat_read(&node->total_objs);
			s->cycles += stat_read(&node->total_cycles);
		}
	}
	if (list == NULL)
		return;
	list->n_nodes = mk->n;
	list->nodes = (Audums__V1__GraphNodeStat **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_NODES;
	mk->reply.nodes = list;
}

static void *make_worker(struct making *mk, const struct worker *w)
{
	Audums__V1__WorkerStat *s = NEW(&mk->arena, Audums__V1__WorkerStat, worker_stat);

	if (s == NULL)
		return NULL;
	s->id = w->id;
	s->lcore = w->lcore;
	s->walks = stat_read(&w->walks);
	s->busy_walks = stat_read(&w->busy_walks);
	s->busy_cycles = stat_read(&w->busy_cycles);
	s->packets = stat_read(&w->packets);
	s->sleeps = stat_read(&w->sleeps);
	for (unsigned int i = 0; i < DROP_COUNT; i++)
		s->drops += stat_read(&w->drops[i]);
	making_counters(mk, COUNTERS_WORKER, w, &s->counters, &s->n_counters);
	return s;
}

void make_workers(struct making *mk)
{
	Audums__V1__WorkerList *list = NEW(&mk->arena, Audums__V1__WorkerList, worker_list);

	for (unsigned int i = 0; i < mk->dp->worker_count; i++)
		making_put(mk, make_worker(mk, mk->dp->workers[i]));
	if (list == NULL)
		return;
	list->tsc = rte_rdtsc();
	list->tsc_hz = rte_get_tsc_hz();
	list->n_workers = mk->n;
	list->workers = (Audums__V1__WorkerStat **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_WORKERS;
	mk->reply.workers = list;
}

static void *make_latency_of(struct making *mk, unsigned int worker)
{
	Audums__V1__LatencyStat *s = NEW(&mk->arena, Audums__V1__LatencyStat, latency_stat);
	struct latency sum;

	if (s == NULL)
		return NULL;
	counters_latency(mk->dp, (int)worker, &sum);
	s->worker = worker;
	s->max_cycles = sum.max;
	s->buckets = arena_alloc(&mk->arena, LATENCY_BUCKETS * sizeof(*s->buckets));
	for (unsigned int i = 0; i < LATENCY_BUCKETS && s->buckets != NULL; i++) {
		Audums__V1__LatencyBucket *b;

		if (sum.buckets[i] == 0)
			continue;
		b = NEW(&mk->arena, Audums__V1__LatencyBucket, latency_bucket);
		if (b == NULL)
			return NULL;
		b->from_cycles = latency_floor(i);
		b->to_cycles = latency_floor(i + 1);
		b->walks = sum.buckets[i];
		s->walks += sum.buckets[i];
		s->buckets[s->n_buckets++] = b;
	}
	return s;
}

void make_latency(struct making *mk)
{
	Audums__V1__LatencyList *list = NEW(&mk->arena, Audums__V1__LatencyList, latency_list);

	for (unsigned int i = 0; i < mk->dp->worker_count; i++)
		making_put(mk, make_latency_of(mk, i));
	if (list == NULL)
		return;
	list->tsc_hz = rte_get_tsc_hz();
	list->n_workers = mk->n;
	list->workers = (Audums__V1__LatencyStat **)mk->entries;
	mk->reply.answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_LATENCY;
	mk->reply.latency = list;
}
