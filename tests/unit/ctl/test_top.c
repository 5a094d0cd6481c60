/*
 * Rates between two looks at a node: what is computed, sorted, and not known.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <math.h>

#include "controller/ctl/top.h"

/* A look with ports p1 and p2, one worker and one drop reason. */
static void look_make(struct top_look *l, uint64_t time_ns, uint64_t p1, uint64_t p2,
	uint64_t drops, uint64_t busy)
{
	static const char *const names[] = {"p1", "p2"};
	const uint64_t packets[] = {p1, p2};
	Audums__V1__DataplaneReply *r = calloc(1, sizeof(*r));
	Audums__V1__PortList *ports = calloc(1, sizeof(*ports));
	Audums__V1__WorkerList *workers = calloc(1, sizeof(*workers));
	Audums__V1__DropList *list = calloc(1, sizeof(*list));

	memset(l, 0, sizeof(*l));
	l->time_ns = time_ns;
	audums__v1__dataplane_reply__init(r);
	audums__v1__port_list__init(ports);
	ports->ports = calloc(2, sizeof(*ports->ports));
	for (ports->n_ports = 0; ports->n_ports < 2; ports->n_ports++) {
		Audums__V1__DataplanePort *p = calloc(1, sizeof(*p));

		audums__v1__dataplane_port__init(p);
		p->name = strdup(names[ports->n_ports]);
		p->link_up = true;
		p->rx_packets = packets[ports->n_ports];
		p->rx_bytes = 100 * p->rx_packets;
		ports->ports[ports->n_ports] = p;
	}
	r->answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_PORTS;
	r->ports = ports;
	assert_true(node_replies_take(&l->parts[TOP_PORTS], r));

	r = calloc(1, sizeof(*r));
	audums__v1__dataplane_reply__init(r);
	audums__v1__worker_list__init(workers);
	workers->tsc = time_ns; /* as if it had a gigahertz */
	workers->tsc_hz = 1000000000;
	workers->n_workers = 1;
	workers->workers = calloc(1, sizeof(*workers->workers));
	workers->workers[0] = calloc(1, sizeof(*workers->workers[0]));
	audums__v1__worker_stat__init(workers->workers[0]);
	workers->workers[0]->busy_cycles = busy;
	workers->workers[0]->packets = p1 + p2;
	workers->workers[0]->busy_walks = (p1 + p2) / 2;
	r->answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_WORKERS;
	r->workers = workers;
	assert_true(node_replies_take(&l->parts[TOP_WORKERS], r));

	r = calloc(1, sizeof(*r));
	audums__v1__dataplane_reply__init(r);
	audums__v1__drop_list__init(list);
	list->n_drops = 1;
	list->drops = calloc(1, sizeof(*list->drops));
	list->drops[0] = calloc(1, sizeof(*list->drops[0]));
	audums__v1__drop_counter__init(list->drops[0]);
	list->drops[0]->reason = strdup("no_route");
	list->drops[0]->packets = drops;
	r->answer_case = AUDUMS__V1__DATAPLANE_REPLY__ANSWER_DROPS;
	r->drops = list;
	assert_true(node_replies_take(&l->parts[TOP_DROPS], r));
}

static void assert_near(double got, double want)
{
	if (!(fabs(got - want) < 1e-6 * (1 + fabs(want))))
		fail_msg("%g, not %g", got, want);
}

static void test_rates(void **state)
{
	struct top_look before, now;
	struct top top;

	look_make(&before, 1000000000, 100, 50, 7, 0);
	look_make(&now, 3000000000, 120, 1050, 9, 500000000);
	assert_true(top_make(&top, &before, &now, TOP_BY_RATE));
	assert_near(top.seconds, 2);
	/* most packets first */
	assert_string_equal(top.parts[TOP_PORTS].rows[0].name, "p2");
	assert_near(top.parts[TOP_PORTS].rows[0].values[0], 500);
	assert_near(top.parts[TOP_PORTS].rows[0].values[1], 400000);
	assert_near(top.parts[TOP_PORTS].rows[1].values[0], 10);
	/* a quarter of two seconds in 1020 packets */
	assert_near(top.parts[TOP_WORKERS].rows[0].values[0], 0.25);
	assert_near(top.parts[TOP_WORKERS].rows[0].values[1], 510);
	assert_near(top.parts[TOP_WORKERS].rows[0].values[2], 500000000.0 / 1020);
	assert_near(top.parts[TOP_WORKERS].rows[0].values[3], 2);
	assert_near(top.parts[TOP_DROPS].rows[0].values[0], 1);
	assert_near(top.parts[TOP_DROPS].rows[0].values[1], 9);
	top_free(&top);
	assert_true(top_make(&top, &before, &now, TOP_BY_NAME));
	assert_string_equal(top.parts[TOP_PORTS].rows[0].name, "p1");
	top_free(&top);
	top_look_free(&before);
	top_look_free(&now);
}

/* A process that began again has no rates yet; a reason that never dropped is not shown. */
static void test_unknown(void **state)
{
	struct top_look before, now, nothing = {.time_ns = 1};
	struct ctl ctl = {0};
	struct top top;
	char *text;
	size_t size;
	FILE *f;

	look_make(&before, 1000000000, 100, 50, 7, 10);
	look_make(&now, 2000000000, 5, 60, 0, 5);
	assert_true(top_make(&top, &before, &now, TOP_BY_NAME));
	assert_true(isnan(top.parts[TOP_PORTS].rows[0].values[0]));
	assert_near(top.parts[TOP_PORTS].rows[1].values[0], 10);
	assert_true(isnan(top.parts[TOP_WORKERS].rows[0].values[1]));
	assert_int_equal(top.parts[TOP_DROPS].count, 0);
	f = open_memstream(&text, &size);
	assert_int_equal(top_print(&ctl, &top, 1, f), EXIT_OK);
	assert_int_equal(top_json(&top, "n1", f), EXIT_OK);
	fclose(f);
	assert_non_null(strstr(text, "... and 1 more"));
	assert_non_null(strstr(text, "\"rx_packets_per_s\":null"));
	assert_non_null(strstr(text, "\"node\":\"n1\""));
	free(text);
	top_free(&top);
	/* a first look alone */
	assert_true(top_make(&top, &nothing, &now, TOP_BY_RATE));
	assert_true(isnan(top.parts[TOP_PORTS].rows[0].values[0]));
	top_free(&top);
	top_look_free(&before);
	top_look_free(&now);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_unknown),
	};

	return cmocka_run_group_tests_name("top", tests, NULL, NULL);
}
