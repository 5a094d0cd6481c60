/*
 * For the mirror's tests: see world.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <linux/netlink.h>

#include "tests/unit/mirror/world.h"

void world_open(struct world *w)
{
	static const char *const names[] = {"up0", "up1", "p1", "p2", "p3"};
	const struct tables_options to = {.max_macs = 1000,
		.max_bds = 50,
		.max_vteps = 50,
		.max_adjs = 50,
		.max_nhgs = 50,
		.max_routes = 200,
		.max_deep = 50};

	w->t = tables_create(&to);
	assert_non_null(w->t);
	for (uint16_t i = 0; i < 5; i++) {
		struct rte_ether_addr mac = {{2, 0, 0, 0, 0, (uint8_t)(i + 1)}};

		assert_int_equal(
			port_tbl_add(&w->t->ports, i, i < 2 ? PORT_KIND_UPLINK : PORT_KIND_ACCESS,
				names[i], names[i], &mac, 1500),
			0);
		tables_port_link(w->t, i, true);
	}
	w->m = mirror_create(&(struct mirror_options){.tables = w->t});
	assert_non_null(w->m);
}

void world_close(struct world *w)
{
	mirror_destroy(w->m);
	tables_destroy(w->t);
}

char *world_text(const struct world *w)
{
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	assert_non_null(f);
	mirror_print(w->m, f);
	fclose(f);
	return text;
}

void world_assert_empty(struct world *w)
{
	struct fdb_stats fdb;
	struct fib4_stats fib;
	struct mirror_stats st;

	while (tables_poll(w->t))
		;
	fdb_stats_get(w->t->fdb, &fdb);
	fib4_stats_get(w->t->fib, &fib);
	mirror_stats_get(w->m, &st);
	assert_int_equal(fdb.entries, 0);
	assert_int_equal(fib.routes, 0);
	assert_int_equal(fib.groups, 0);
	assert_int_equal(bd_count(w->t->bds), 0);
	assert_int_equal(w->t->vteps.count, 0);
	assert_int_equal(w->t->nhgs.count, 0);
	assert_int_equal(w->t->adjs.count, 0);
	assert_int_equal(w->t->rcu.pending, 0);
	assert_int_equal(st.links, 0);
	assert_int_equal(st.macs, 0);
	assert_int_equal(st.vxlan_macs, 0);
	assert_int_equal(st.routes, 0);
	assert_int_equal(st.nexthops, 0);
	assert_int_equal(st.neighs, 0);
	for (uint16_t i = 0; i < w->t->ports.n; i++) {
		assert_int_equal(ac_bd(&w->t->acs, i), 0);
		assert_int_equal(w->t->ports.ports[i].tap_ifindex, 0);
		assert_int_equal(w->t->ports.ports[i].admin_up, 0);
	}
}

void recording_read(struct recording *r, const char *name)
{
	char path[512];
	long size;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.nl", DATA_DIR, name);
	f = fopen(path, "r");
	assert_non_null(f);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	r->bytes = malloc((size_t)size);
	assert_int_equal(fread(r->bytes, 1, (size_t)size, f), size);
	fclose(f);
	r->chunks = calloc((size_t)size / 8, sizeof(*r->chunks));
	r->n = 0;
	for (long at = 0; at < size;) {
		struct chunk *c = &r->chunks[r->n++];

		memcpy(c, r->bytes + at, 8);
		c->data = r->bytes + at + 8;
		at += 8 + (long)((c->len + 3) & ~3u);
		assert_true(at <= size);
	}
}

void recording_free(struct recording *r)
{
	free(r->bytes);
	free(r->chunks);
}

struct chunk *recording_messages(const struct recording *r, uint32_t kind, unsigned int *n)
{
	struct chunk *list = NULL;

	*n = 0;
	for (unsigned int i = 0; i < r->n; i++) {
		uint32_t left = r->chunks[i].len;
		const char *at = r->chunks[i].data;

		if (r->chunks[i].kind != kind)
			continue;
		while (left >= sizeof(struct nlmsghdr)) {
			const struct nlmsghdr *h = (const struct nlmsghdr *)(const void *)at;
			uint32_t step = NLMSG_ALIGN(h->nlmsg_len);

			assert_true(h->nlmsg_len <= left);
			if (h->nlmsg_type != NLMSG_DONE) {
				list = realloc(list, (*n + 1) * sizeof(*list));
				list[(*n)++] = (struct chunk){kind, h->nlmsg_len, at};
			}
			if (step >= left)
				break;
			at += step;
			left -= step;
		}
	}
	return list;
}
