/*
 * The mirror fed with recordings: events and a dump lead to the same tables, in any order and after
 * losses; what is swept is gone without a trace; nothing malformed is taken.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "proto/lib/log.h"
#include "tests/unit/mirror/msg.h"
#include "tests/unit/mirror/world.h"

static const char *const NAMES[] = {"overlay", "linkdown", "frr"};

static unsigned int feed(struct world *w, const struct recording *r, uint32_t kind)
{
	unsigned int seen = 0;

	for (unsigned int i = 0; i < r->n; i++)
		if (r->chunks[i].kind == kind)
			seen |= mirror_feed(w->m, r->chunks[i].data, r->chunks[i].len);
	mirror_settle(w->m);
	return seen;
}

static char *text_of_dump(const struct recording *r)
{
	struct world w;
	char *text;

	world_open(&w);
	assert_int_equal(feed(&w, r, 'D'), MIRROR_SEEN_DONE);
	text = world_text(&w);
	world_close(&w);
	return text;
}

static char *text_expected(const char *name)
{
	char path[512], *text = calloc(1, 1 << 16);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.txt", DATA_DIR, name);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_true(fread(text, 1, (1 << 16) - 1, f) > 0);
	fclose(f);
	return text;
}

/* The dump gives what a person has checked; MIRROR_PRINT=1 prints it for that. */
static void test_dump(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct recording r;
		char *text, *expected;

		recording_read(&r, NAMES[i]);
		text = text_of_dump(&r);
		if (getenv("MIRROR_PRINT"))
			printf("--- %s\n%s", NAMES[i], text);
		expected = text_expected(NAMES[i]);
		assert_string_equal(text, expected);
		free(expected);
		free(text);
		recording_free(&r);
	}
}

static void test_events(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct recording r;
		struct world w;
		struct mirror_stats st;
		char *text, *want;
		unsigned int again;

		recording_read(&r, NAMES[i]);
		want = text_of_dump(&r);
		world_open(&w);
		feed(&w, &r, 'E');
		mirror_stats_get(w.m, &st);
		assert_int_equal(st.malformed, 0);
		assert_int_equal(st.full, 0);
		again = mirror_take_redump(w.m);
		if (again) {
			/* the kernel took routes away without a word; these classes alone heal it
			 */
			assert_int_equal(again, MIRROR_NEXTHOP | MIRROR_ROUTE);
			mirror_sync_begin(w.m, again);
			feed(&w, &r, 'D');
			mirror_sync_end(w.m, again);
		}
		text = world_text(&w);
		assert_string_equal(text, want);
		free(text);
		free(want);
		world_close(&w);
		recording_free(&r);
	}
}

static void test_any_order(void **state)
{
	(void)state;
	srandom(7);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct recording r;
		struct chunk *list;
		unsigned int n;
		char *want;

		recording_read(&r, NAMES[i]);
		want = text_of_dump(&r);
		list = recording_messages(&r, 'D', &n);
		for (int round = 0; round < 40; round++) {
			struct world w;
			char *text;

			for (unsigned int k = n - 1; k > 0; k--) {
				unsigned int o = (unsigned int)random() % (k + 1);
				struct chunk c = list[k];

				list[k] = list[o];
				list[o] = c;
			}
			world_open(&w);
			for (unsigned int k = 0; k < n; k++) {
				mirror_feed(w.m, list[k].data, list[k].len);
				if (random() % 4 == 0) {
					mirror_settle(w.m);
					tables_poll(w.t);
				}
			}
			mirror_settle(w.m);
			text = world_text(&w);
			assert_string_equal(text, want);
			free(text);
			world_close(&w);
		}
		free(list);
		free(want);
		recording_free(&r);
	}
}

/* Overrun: events are lost, the dump with marks puts everything right, a second one changes
 * nothing.
 */
static void test_lost_events(void **state)
{
	(void)state;
	srandom(8);
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		struct recording r;
		struct chunk *list;
		unsigned int n;
		char *want;

		recording_read(&r, NAMES[i]);
		want = text_of_dump(&r);
		list = recording_messages(&r, 'E', &n);
		for (int round = 0; round < 40; round++) {
			struct mirror_stats before, after;
			struct world w;
			char *text;

			world_open(&w);
			for (unsigned int k = 0; k < n; k++) {
				if (random() % 10 < round % 10)
					continue;
				mirror_feed(w.m, list[k].data, list[k].len);
				if (random() % 4 == 0) {
					mirror_settle(w.m);
					tables_poll(w.t);
				}
			}
			for (int twice = 0; twice < 2; twice++) {
				mirror_stats_get(w.m, &before);
				mirror_sync_begin(w.m, MIRROR_ALL);
				feed(&w, &r, 'D');
				mirror_sync_end(w.m, MIRROR_ALL);
				mirror_stats_get(w.m, &after);
				text = world_text(&w);
				assert_string_equal(text, want);
				free(text);
			}
			assert_int_equal(before.sweeps, after.sweeps);
			world_close(&w);
		}
		free(list);
		free(want);
		recording_free(&r);
	}
}

static void test_all_swept(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(NAMES) / sizeof(NAMES[0]); i++) {
		for (int order = 0; order < 6; order++) {
			struct recording r;
			struct world w;

			recording_read(&r, NAMES[i]);
			world_open(&w);
			feed(&w, &r, 'E');
			feed(&w, &r, 'D');
			/* class by class, each first once */
			for (int c = 0; c < 6; c++) {
				mirror_sync_begin(w.m, 1u << (order + c) % 6);
				mirror_sync_end(w.m, 1u << (order + c) % 6);
				tables_poll(w.t);
			}
			world_assert_empty(&w);
			world_close(&w);
			recording_free(&r);
		}
	}
}

/* Cut off and damaged messages: refused or taken, never a wild read (the sanitisers watch). */
static void test_malformed(void **state)
{
	struct recording r;
	struct mirror_stats st;
	struct world w;
	unsigned int n;
	struct chunk *list;

	(void)state;
	srandom(9);
	recording_read(&r, "overlay");
	list = recording_messages(&r, 'D', &n);
	world_open(&w);
	for (unsigned int k = 0; k < n; k++) {
		for (int round = 0; round < 20; round++) {
			char *copy = malloc(list[k].len);
			uint32_t len = list[k].len;

			memcpy(copy, list[k].data, len);
			if (round % 2) {
				len = (uint32_t)random() % (len + 1);
				if (len >= 4)
					memcpy(copy, &len, 4); /* the header agrees */
			}
			for (int b = 0; b < round / 4; b++)
				if (len > 16)
					copy[16 + (uint32_t)random() % (len - 16)] = (char)random();
			copy = realloc(copy, len ? len : 1);
			mirror_feed(w.m, copy, len);
			free(copy);
		}
		mirror_settle(w.m);
	}
	mirror_stats_get(w.m, &st);
	assert_true(st.malformed > 0);
	mirror_sync_begin(w.m, MIRROR_ALL);
	mirror_sync_end(w.m, MIRROR_ALL);
	world_assert_empty(&w);
	free(list);
	world_close(&w);
	recording_free(&r);
}

static void test_control_messages(void **state)
{
	struct {
		struct nlmsghdr h;
		struct nlmsgerr e;
	} err = {
		.h = {.nlmsg_len = sizeof(err), .nlmsg_type = NLMSG_ERROR}, .e = {.error = -EBUSY}};
	struct nlmsghdr h = {
		.nlmsg_len = sizeof(h), .nlmsg_type = NLMSG_DONE, .nlmsg_flags = NLM_F_DUMP_INTR};
	struct mirror_stats st;
	struct world w;

	(void)state;
	world_open(&w);
	assert_int_equal(mirror_feed(w.m, &err, sizeof(err)), MIRROR_SEEN_ERROR);
	err.e.error = 0;
	assert_int_equal(mirror_feed(w.m, &err, sizeof(err)), 0);
	assert_int_equal(mirror_feed(w.m, &h, sizeof(h)), MIRROR_SEEN_DONE | MIRROR_SEEN_INTR);
	h.nlmsg_type = NLMSG_OVERRUN;
	h.nlmsg_flags = 0;
	assert_int_equal(mirror_feed(w.m, &h, sizeof(h)), MIRROR_SEEN_OVERRUN);
	h.nlmsg_type = NLMSG_NOOP;
	assert_int_equal(mirror_feed(w.m, &h, sizeof(h)), 0);
	mirror_stats_get(w.m, &st);
	assert_int_equal(st.last_error, -EBUSY);
	assert_int_equal(st.malformed, 0);
	world_close(&w);
}

#define UP0 31 /* its ifindex */
#define NEW (NLM_F_CREATE | NLM_F_EXCL)

static uint16_t route_of(const struct world *w, const char *addr)
{
	struct in_addr in;

	assert_int_equal(inet_aton(addr, &in), 1);
	return fib4_lookup(w->t->fib, ntohl(in.s_addr));
}

/* The kernel removes the routes by a next-hop object with it, without a word: they are dumped
 * again, so that the next better one of the prefix counts. */
static void test_nexthop_takes_routes(void **state)
{
	struct world w;
	uint16_t second;

	world_open(&w);
	msg_link(w.m, false, UP0, "up0", "tun", 0, true);
	msg_nexthop(w.m, false, 7, "10.1.0.1", UP0);
	msg_nexthop(w.m, false, 8, "10.1.0.3", UP0);
	msg_route(w.m, false, NEW, "10.9.0.2", 32, 50, "10.1.0.2", UP0, 0);
	second = route_of(&w, "10.9.0.2");
	assert_true(fib4_is_nhg(second));
	msg_route(w.m, false, NEW, "10.9.0.2", 32, 20, NULL, UP0, 7);
	assert_int_not_equal(route_of(&w, "10.9.0.2"), second);
	mirror_take_redump(w.m);
	msg_nexthop(w.m, true, 8, "10.1.0.3", UP0); /* no route is by this one */
	assert_int_equal(mirror_take_redump(w.m), 0);
	msg_nexthop(w.m, true, 7, "10.1.0.1", UP0);
	assert_int_equal(mirror_take_redump(w.m), MIRROR_ROUTE);
	mirror_sync_begin(w.m, MIRROR_ROUTE);
	msg_route(w.m, false, NLM_F_MULTI, "10.9.0.2", 32, 50, "10.1.0.2", UP0, 0);
	mirror_sync_end(w.m, MIRROR_ROUTE);
	assert_int_equal(route_of(&w, "10.9.0.2"), second);
	world_close(&w);
}

/* Routes of one prefix and metric: the kernel uses the first, and tells only what goes. */
static void test_routes_of_one_metric(void **state)
{
	struct world w;
	uint16_t first;

	world_open(&w);
	msg_link(w.m, false, UP0, "up0", "tun", 0, true);
	msg_route(w.m, false, NEW, "10.8.0.0", 24, 20, "10.1.0.1", UP0, 0);
	first = route_of(&w, "10.8.0.1");
	msg_route(w.m, false, NLM_F_CREATE | NLM_F_APPEND, "10.8.0.0", 24, 20, "10.1.0.2", UP0, 0);
	assert_int_equal(route_of(&w, "10.8.0.1"), first);
	msg_route(w.m, true, 0, "10.8.0.0", 24, 20, "10.1.0.2", UP0, 0);
	assert_int_equal(mirror_take_redump(w.m), MIRROR_ROUTE);

	msg_route(w.m, false, NEW, "10.7.0.0", 24, 20, "10.1.0.1", UP0, 0);
	msg_route(w.m, false, NLM_F_CREATE, "10.7.0.0", 24, 20, "10.1.0.2", UP0, 0); /* prepended */
	assert_int_not_equal(route_of(&w, "10.7.0.1"), first);
	assert_int_equal(mirror_take_redump(w.m), 0);
	msg_route(w.m, true, 0, "10.7.0.0", 24, 20, "10.1.0.2", UP0, 0);
	assert_int_equal(mirror_take_redump(w.m), MIRROR_ROUTE);

	/* others are not dumped again for it */
	msg_route(w.m, false, NEW, "10.6.0.0", 24, 20, "10.1.0.1", UP0, 0);
	msg_route(w.m, false, NLM_F_REPLACE, "10.6.0.0", 24, 20, "10.1.0.2", UP0, 0);
	msg_route(w.m, true, 0, "10.6.0.0", 24, 20, "10.1.0.2", UP0, 0);
	assert_int_equal(mirror_take_redump(w.m), 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dump),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_any_order),
		cmocka_unit_test(test_lost_events),
		cmocka_unit_test(test_all_swept),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_control_messages),
		cmocka_unit_test(test_nexthop_takes_routes),
		cmocka_unit_test(test_routes_of_one_metric),
	};

	log_setup(LOG_LEVEL_ERROR, 2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
