/*
 * What the control side costs: netlink bytes as the kernel gives them into the real mirror and
 * tables, while a thread looks frames up as a worker does.
 *
 *   updates   FDB updates a second (one is a MAC's two messages, self and master) into a table of
 *             100k MACs, each 32 kB of messages followed by mirror_settle() as in the main loop
 *   blocked   p99.9 of what a burst of 64 look-ups takes of its thread's CPU time meanwhile, and
 *             when nothing is updated: the difference is what updates cost a worker
 *   memory    what 1,000,000 MACs behind VTEPs add to the resident size, with the mirror's objects
 *   start     from the first octet of the dump to complete tables: 4,000 segments x 16 VTEPs, 100k
 *             MACs
 *
 * Nothing is asserted. usage: bench-control
 */
#include "dataplane/dpdk_compat.h"

#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "dataplane/mirror/mirror.h"
#include "proto/lib/log.h"

#define CHUNK     32768 /* what one recv(2) of a dump gives */
#define BURST     64
#define SAMPLES   2000000
#define BRIDGE(s) (10000 + (s))
#define VXLAN(s)  (20000 + (s))
#define VTEPS     16

struct stream {
	struct mirror *m;
	struct tables *t;
	size_t len;
	uint64_t messages;
	char buf[CHUNK + 512] __attribute__((aligned(8)));
};

static void stream_flush(struct stream *s)
{
	if (s->len > 0)
		mirror_feed(s->m, s->buf, s->len);
	mirror_settle(s->m);
	s->len = 0;
}

static struct nlmsghdr *message(struct stream *s, uint16_t type, const void *head, size_t len)
{
	struct nlmsghdr *h;

	if (s->len > CHUNK)
		stream_flush(s);
	h = (struct nlmsghdr *)(void *)(s->buf + s->len);
	*h = (struct nlmsghdr){.nlmsg_type = type, .nlmsg_len = NLMSG_LENGTH(NLMSG_ALIGN(len))};
	memcpy(NLMSG_DATA(h), head, len);
	s->messages++;
	return h;
}

static struct nlattr *attr(struct nlmsghdr *h, uint16_t type, const void *data, size_t len)
{
	struct nlattr *a = (struct nlattr *)(void *)((char *)h + h->nlmsg_len);

	a->nla_type = type;
	a->nla_len = (uint16_t)(NLA_HDRLEN + len);
	if (len > 0)
		memcpy((char *)a + NLA_HDRLEN, data, len);
	h->nlmsg_len += (uint32_t)NLA_ALIGN(a->nla_len);
	return a;
}

static void attr_close(const struct nlmsghdr *h, struct nlattr *nest)
{
	nest->nla_len = (uint16_t)((const char *)h + h->nlmsg_len - (const char *)nest);
}

static void message_end(struct stream *s, const struct nlmsghdr *h)
{
	s->len += NLMSG_ALIGN(h->nlmsg_len);
}

static void put_link(
	struct stream *s, uint32_t ifindex, const char *kind, uint32_t master, uint32_t vni)
{
	const struct ifinfomsg ifi = {.ifi_index = (int)ifindex, .ifi_flags = IFF_UP};
	struct nlmsghdr *h = message(s, RTM_NEWLINK, &ifi, sizeof(ifi));
	const rte_be32_t local = rte_cpu_to_be_32(0x0afe0101);
	const uint16_t port = rte_cpu_to_be_16(4789);
	const uint32_t mtu = 1500;
	struct nlattr *info, *data;
	char name[16];

	snprintf(name, sizeof(name), "i%u", ifindex);
	attr(h, IFLA_IFNAME, name, strlen(name) + 1);
	attr(h, IFLA_MTU, &mtu, sizeof(mtu));
	if (master != 0)
		attr(h, IFLA_MASTER, &master, sizeof(master));
	info = attr(h, IFLA_LINKINFO, NULL, 0);
	attr(h, IFLA_INFO_KIND, kind, strlen(kind));
	if (vni != 0) {
		data = attr(h, IFLA_INFO_DATA, NULL, 0);
		attr(h, IFLA_VXLAN_ID, &vni, sizeof(vni));
		attr(h, IFLA_VXLAN_LOCAL, &local, sizeof(local));
		attr(h, IFLA_VXLAN_PORT, &port, sizeof(port));
		attr_close(h, data);
	}
	attr_close(h, info);
	message_end(s, h);
}

static rte_be32_t vtep_addr(uint32_t n)
{
	return rte_cpu_to_be_32(0x0afe0201 + n % VTEPS);
}

/* The vxlan device's own entry; a MAC of zeros is the flood list's. */
static void put_self(struct stream *s, uint32_t segment, const uint8_t mac[6], uint32_t vtep)
{
	const struct ndmsg ndm = {.ndm_family = AF_BRIDGE,
		.ndm_ifindex = VXLAN((int)segment),
		.ndm_state = NUD_NOARP,
		.ndm_flags = NTF_SELF | NTF_EXT_LEARNED};
	struct nlmsghdr *h = message(s, RTM_NEWNEIGH, &ndm, sizeof(ndm));
	const rte_be32_t dst = vtep_addr(vtep);

	attr(h, NDA_LLADDR, mac, 6);
	attr(h, NDA_DST, &dst, sizeof(dst));
	message_end(s, h);
}

static void put_master(struct stream *s, uint32_t segment, const uint8_t mac[6])
{
	const struct ndmsg ndm = {.ndm_family = AF_BRIDGE,
		.ndm_ifindex = VXLAN((int)segment),
		.ndm_state = NUD_NOARP,
		.ndm_flags = NTF_EXT_LEARNED};
	struct nlmsghdr *h = message(s, RTM_NEWNEIGH, &ndm, sizeof(ndm));
	const uint32_t master = BRIDGE(segment);

	attr(h, NDA_LLADDR, mac, 6);
	attr(h, NDA_MASTER, &master, sizeof(master));
	message_end(s, h);
}

static void put_mac(struct stream *s, uint32_t segment, uint32_t n, uint32_t vtep)
{
	const uint8_t mac[6] = {
		0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};

	put_self(s, segment, mac, vtep);
	put_master(s, segment, mac);
}

static void put_segment(struct stream *s, uint32_t segment)
{
	static const uint8_t zero[6];

	put_link(s, BRIDGE(segment), "bridge", 0, 0);
	put_link(s, VXLAN(segment), "vxlan", BRIDGE(segment), 10000 + segment);
	for (uint32_t v = 0; v < VTEPS; v++)
		put_self(s, segment, zero, v);
}

static double seconds(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

static double resident_mib(void)
{
	unsigned long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f != NULL && fscanf(f, "%*u %lu", &pages) != 1)
		pages = 0;
	if (f != NULL)
		fclose(f);
	return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576;
}

static struct stream *world_open(uint32_t max_macs)
{
	const struct tables_options options = {
		.max_macs = max_macs, .max_bds = 4096, .clock_hz = 1000000000};
	struct mirror_options mirror = {.tables = tables_create(&options)};
	struct stream *s = calloc(1, sizeof(*s));

	if (mirror.tables == NULL || s == NULL)
		abort();
	s->t = mirror.tables;
	s->m = mirror_create(&mirror);
	if (s->m == NULL)
		abort();
	return s;
}

static void world_close(struct stream *s, struct tables *t)
{
	mirror_destroy(s->m);
	tables_destroy(t);
	free(s);
}

/* What looks frames up beside the updates. */
struct reader {
	struct tables *t;
	bool stop;
	unsigned int n;
	float *us; /* CPU time of each burst */
};

static void *reader_run(void *arg)
{
	struct reader *r = arg;
	uint32_t expect[BURST] = {0}, from[BURST], to[BURST], at = 0;
	uint64_t src[BURST], dst[BURST];

	rcu_worker_register(&r->t->rcu, 0);
	rcu_worker_online(&r->t->rcu, 0);
	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE) && r->n < SAMPLES) {
		double start;

		for (unsigned int i = 0; i < BURST; i++, at++) {
			const uint32_t n = at * 2654435761u % 100000;
			const uint8_t mac[6] = {0x02, 0, (uint8_t)(n >> 24), (uint8_t)(n >> 16),
				(uint8_t)(n >> 8), (uint8_t)n};

			src[i] = dst[i] = fdb_key(1, mac);
		}
		start = seconds(CLOCK_THREAD_CPUTIME_ID);
		fdb_switch_bulk(r->t->fdb, src, expect, dst, BURST, 1, from, to);
		rcu_worker_quiescent(&r->t->rcu, 0);
		r->us[r->n++] = (float)((seconds(CLOCK_THREAD_CPUTIME_ID) - start) * 1e6);
	}
	rcu_worker_offline(&r->t->rcu, 0);
	rcu_worker_unregister(&r->t->rcu, 0);
	return NULL;
}

static int by_value(const void *a, const void *b)
{
	const float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

/* Let somebody look up while `updates` MACs move; returns updates a second, *p999 in us. */
static double updates_run(struct stream *s, struct tables *t, uint32_t updates, double *p999)
{
	struct reader r = {.t = t, .us = calloc(SAMPLES, sizeof(float))};
	double start, took, end = seconds(CLOCK_MONOTONIC) + 2;
	pthread_t thread;

	if (r.us == NULL || pthread_create(&thread, NULL, reader_run, &r) != 0)
		abort();
	start = seconds(CLOCK_MONOTONIC);
	for (uint32_t i = 0; i < updates; i++) {
		/* a third of them new, the others at another VTEP than before */
		put_mac(s, 1, i % 3 == 0 ? 100000 + i : i * 7 % 100000, i / 7 + i);
		if (s->len == 0)
			tables_poll(t);
	}
	stream_flush(s);
	took = seconds(CLOCK_MONOTONIC) - start;
	while (updates == 0 && seconds(CLOCK_MONOTONIC) < end)
		usleep(1000);
	__atomic_store_n(&r.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	qsort(r.us, r.n, sizeof(r.us[0]), by_value);
	*p999 = r.n > 0 ? r.us[(uint64_t)r.n * 999 / 1000] : 0;
	free(r.us);
	return updates / took;
}

static void updates_bench(void)
{
	struct stream *s = world_open(1000000);
	struct mirror_stats st;
	struct tables *t;
	double idle, busy, rate;

	t = s->t;
	put_segment(s, 1);
	for (uint32_t i = 0; i < 100000; i++)
		put_mac(s, 1, i, i);
	stream_flush(s);
	updates_run(s, t, 0, &idle);
	rate = updates_run(s, t, 600000, &busy);
	mirror_stats_get(s->m, &st);
	printf("updates   %.0f a second (aim >= 100000), %u MACs at the end\n", rate, st.macs);
	printf("blocked   p99.9 %.2f us a burst of 64 (aim <= 10 us); %.2f us without updates\n",
		busy, idle);
	world_close(s, t);
}

static void memory_bench(void)
{
	struct stream *s = world_open(1000000);
	struct tables *t = s->t;
	struct mirror_stats st;
	double before;

	put_segment(s, 1);
	stream_flush(s);
	before = resident_mib();
	for (uint32_t i = 0; i < 1000000; i++)
		put_mac(s, 1, i, i);
	stream_flush(s);
	mirror_stats_get(s->m, &st);
	printf("memory    %.1f MiB for %u MACs (aim <= 128), %.1f MiB the whole process\n",
		resident_mib() - before, st.macs, resident_mib());
	world_close(s, t);
}

static void start_bench(void)
{
	struct stream *s = world_open(131072);
	struct tables *t = s->t;
	struct mirror_stats st;
	double start = seconds(CLOCK_MONOTONIC), took;

	mirror_sync_begin(s->m, MIRROR_ALL);
	for (uint32_t i = 1; i <= 4000; i++)
		put_segment(s, i);
	for (uint32_t i = 0; i < 100000; i++)
		put_mac(s, 1 + i % 4000, i, i);
	stream_flush(s);
	mirror_sync_end(s->m, MIRROR_ALL);
	took = seconds(CLOCK_MONOTONIC) - start;
	mirror_stats_get(s->m, &st);
	printf("start     %.3f s for %lu messages: %u segments, %u VTEPs, %u MACs (aim <= 1 s)\n",
		took, (unsigned long)s->messages, bd_count(t->bds), t->vteps.count, st.macs);
	world_close(s, t);
}

int main(void)
{
	log_setup(LOG_LEVEL_ERROR, 2);
	memory_bench();
	updates_bench();
	start_bench();
	return 0;
}
