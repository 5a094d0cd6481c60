/*
 * Fuzz the netlink mirror and learning: any octets as netlink messages, settled and swept at any
 * moment, frames learnt in between. After each input everything is swept; then no table may hold
 * anything, no index may be lost and no reference be left.
 *
 * An input is a sequence of: operation (1 octet), length (2 octets, little endian), octets.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "dataplane/mirror/learn.h"
#include "proto/lib/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tables *t;
static struct mirror *m;
static struct learn *l;
static uint64_t now = 1000;

static int write_cb(void *ctx, const struct learn_write writes[], unsigned int n)
{
	(void)ctx;
	(void)writes;
	return (int)n;
}

static void world_make(void)
{
	static const char *const names[] = {"up0", "up1", "p1", "p2", "p3"};
	const struct tables_options to = {.max_macs = 64,
		.max_bds = 8,
		.max_vteps = 8,
		.max_adjs = 8,
		.max_nhgs = 8,
		.max_routes = 32,
		.max_deep = 8};
	const struct mirror_options mo = {.max_links = 32, .max_neighs = 16, .max_fdb = 100};
	struct mirror_options with = mo;

	log_setup(LOG_LEVEL_ERROR, 2);
	t = tables_create(&to);
	for (uint16_t i = 0; i < 5; i++) {
		struct rte_ether_addr mac = {{2, 0, 0, 0, 0, (uint8_t)(i + 1)}};

		port_tbl_add(&t->ports, i, i < 2 ? PORT_KIND_UPLINK : PORT_KIND_ACCESS, names[i],
			names[i], &mac, 1500);
		tables_port_link(t, i, true);
	}
	with.tables = t;
	m = mirror_create(&with);
	l = learn_create(m, &(struct learn_options){.write = write_cb});
	if (!l)
		abort();
}

static void check_empty(void)
{
	struct fdb_stats fdb;
	struct fib4_stats fib;
	struct mirror_stats st;

	mirror_sync_begin(m, MIRROR_ALL);
	mirror_sync_end(m, MIRROR_ALL);
	/* the audit's pauses grow: let it forget what is gone */
	for (int i = 0; i < 3; i++)
		learn_poll(l, now += 2000);
	mirror_settle(m);
	while (tables_poll(t))
		;
	fdb_stats_get(t->fdb, &fdb);
	fib4_stats_get(t->fib, &fib);
	mirror_stats_get(m, &st);
	if (fdb.entries || fib.routes || fib.groups || bd_count(t->bds) || t->acs.tagged ||
		t->vteps.count || t->nhgs.count || t->adjs.count || st.links || st.macs ||
		st.vxlan_macs || st.routes || st.nexthops || st.neighs)
		abort();
	(void)mirror_take_redump(m);
}

static void learn_one(const uint8_t *data, size_t len)
{
	struct learn_event ev;

	if (len < sizeof(ev))
		return;
	memcpy(&ev, data, sizeof(ev));
	learn_events(l, &ev, 1, now += 1);
	learn_poll(l, now += 100);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!t)
		world_make();
	while (size >= 3) {
		uint8_t op = data[0];
		size_t len = (size_t)data[1] | (size_t)data[2] << 8;
		void *copy;

		data += 3;
		size -= 3;
		if (len > size)
			len = size;
		switch (op % 16) {
		default:
			copy = malloc(len ? len : 1); /* its own, so that a read past it shows */
			memcpy(copy, data, len);
			mirror_feed(m, copy, len);
			free(copy);
			break;
		case 10:
			mirror_settle(m);
			break;
		case 11:
			mirror_sync_begin(m, op / 16 * 5);
			mirror_sync_end(m, op / 16 * 5);
			break;
		case 12:
		case 13:
			learn_one(data, len);
			break;
		case 14:
			tables_port_link(t, op / 16 % 5, len & 1);
			mirror_port_changed(m, op / 16 % 5);
			break;
		case 15:
			tables_poll(t);
			mirror_poll(m, now += 500);
			break;
		}
		data += len;
		size -= len;
	}
	check_empty();
	return 0;
}
