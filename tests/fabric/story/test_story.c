/*
 *            lvrtc1 ---- lnb1        Four sites of topology/latvia.yaml, each a namespace with FRR,
 *              | \        |          an agent, a port holder and a forwarding process. The diagonal
 *              |   \      |          is lvrtc1 - ic1, so lnb1 - ldc1 always crosses a third site.
 *              |     \    |
 *            ldc1 ---- ic1           Workloads: registri-* (first tenant), veseliba-* (second).
 *
 * The story as a whole must hold: a segment is provisioned at all sites, everyone reaches everyone,
 * tenants never see each other, a workload moves, links and processes fail, and what is deleted is
 * gone. Tests run in this order on one lab; each leaves the fabric ready for the next.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "controller/ctl/client.h"
#include "controller/ctl/groups.h"
#include "controller/ctl/story/internal.h"
#include "controller/ctl/story/netdev.h"
#include "controller/ctl/story/story.h"

#define LAB  "story"
#define FROM "registri-lvrtc"
#define TO   "registri-ic"

static char topology_path[512];
static char tenant_path[512];
static char second_path[512];
static struct story story;
static char *before[LAB_NODES_MAX];

/* The library's table of commands is the program's; no command runs here. */
const struct command *const command_groups[] = {NULL};

#define assert_done(call)                                                                          \
	do {                                                                                       \
		struct lab_err err = {""};                                                         \
		const int r_ = (call);                                                             \
		if (r_)                                                                            \
			fail_msg("%s: %d: %s", #call, r_, err.text);                               \
	} while (0)

static int bring_up(void **state)
{
	struct lab_err err = {""};
	int r;

	(void)state;
	r = story_up(&story, topology_path, LAB, NULL, &err);
	if (r)
		fprintf(stderr, "lab: %s\n", err.text);
	return r;
}

static int take_down(void **state)
{
	struct lab_err err = {""};

	(void)state;
	story_close(&story);
	for (unsigned int i = 0; i < LAB_NODES_MAX; i++)
		free(before[i]);
	return lab_down(LAB, &err);
}

/*
 * The sessions are up before the last routes have come: a snapshot counts when another one half a
 * second later is the same.
 */
static char *snapshot_settled(unsigned int node)
{
	char *text, *last = NULL;

	for (int i = 0; i < 60; i++) {
		assert_done(lab_snapshot(&story.lab, node, &text, &err));
		if (last && !strcmp(last, text)) {
			free(last);
			return text;
		}
		free(last);
		last = text;
		poll(NULL, 0, 500);
	}
	fail_msg("node %s does not settle", story.lab.nodes[node].name);
	return last;
}

static void nodes_and_links_become_ready(void **state)
{
	(void)state;
	assert_done(story_wait_nodes(&story, 60000, &err));
	for (int round = 0; round < 2; round++)
		for (unsigned int i = 0; i < story.lab.node_count; i++) {
			free(before[i]);
			before[i] = snapshot_settled(i);
		}
}

static void a_segment_is_provisioned_at_four_sites(void **state)
{
	(void)state;
	assert_done(story_provision(&story, tenant_path, 30000, &story.figures.provision_ms, &err));
	assert_done(story_workloads(&story, tenant_path, &err));
	print_message("apply to ready: %.0f ms\n", story.figures.provision_ms);
}

static void applying_again_changes_nothing(void **state)
{
	double ms;

	(void)state;
	assert_done(story_provision(&story, tenant_path, 5000, &ms, &err));
}

static void everyone_reaches_everyone(void **state)
{
	(void)state;
	assert_done(story_ping(&story, 5, &err));
	/* four workloads, all ordered pairs, two families, two sizes, five packets */
	assert_int_equal(story.figures.ping_sent, 4 * 3 * 2 * 2 * 5);
	assert_int_equal(story.figures.ping_lost, 0);
}

static void tenants_never_see_each_other(void **state)
{
	(void)state;
	assert_done(story_provision(&story, second_path, 30000, &(double){0}, &err));
	assert_done(story_workloads(&story, second_path, &err));
	assert_done(story_isolation(&story, "registri", 50, &err));
	assert_true(story.figures.marked_frames > 0);
	assert_int_equal(story.figures.leaked_frames, 0);
	/* ... and the other way, while both talk by the same addresses and MACs. */
	assert_done(story_isolation(&story, "veseliba", 50, &err));
	assert_int_equal(story.figures.leaked_frames, 0);
	story.figures.ping_lost = 0;
	assert_done(story_ping(&story, 3, &err));
	assert_int_equal(story.figures.ping_lost, 0);
}

static void a_workload_moves_and_returns(void **state)
{
	double out;
	double back;

	(void)state;
	assert_done(story_move(&story, TO, "ldc1", "p2", FROM, &out, &err));
	story.figures.ping_lost = 0;
	assert_done(story_ping(&story, 2, &err));
	assert_int_equal(story.figures.ping_lost, 0);
	assert_done(story_move(&story, TO, "ic1", "p1", FROM, &back, &err));
	print_message("move: %.0f ms, back: %.0f ms\n", out, back);
	assert_done(story_ping(&story, 2, &err));
	assert_int_equal(story.figures.ping_lost, 0);
}

static void a_link_loses_carrier(void **state)
{
	double out;
	double back;

	(void)state;
	assert_done(story_link(&story, "lvrtc-ic", LAB_LINK_DOWN, FROM, TO, &out, &back, &err));
	print_message("link down: %.0f ms, back: %.0f ms\n", out, back);
}

static void a_link_goes_silent(void **state)
{
	double out;
	double back;

	(void)state;
	assert_done(story_link(&story, "lvrtc-ic", LAB_LINK_SILENT, FROM, TO, &out, &back, &err));
	print_message("link silent: %.0f ms, back: %.0f ms\n", out, back);
}

static void a_dead_controller_costs_nothing(void **state)
{
	struct lab_probe_result result;

	(void)state;
	assert_done(story_kill(&story, "controller", FROM, TO, &result, &err));
	assert_int_equal(result.lost, 0);
}

static void a_dead_agent_costs_nothing(void **state)
{
	struct lab_probe_result result;
	char *was;
	char *is;

	(void)state;
	assert_done(lab_snapshot(&story.lab, 0, &was, &err));
	assert_done(story_kill(&story, "lvrtc1/agent", FROM, TO, &result, &err));
	assert_int_equal(result.lost, 0);
	assert_done(lab_snapshot(&story.lab, 0, &is, &err));
	assert_string_equal(was, is);
	free(was);
	free(is);
}

static void a_dead_dataplane_returns_by_itself(void **state)
{
	(void)state;
	assert_done(story_kill_dataplane(&story, "lvrtc1", FROM, TO, &err));
	print_message(
		"dataplane killed: outage %.0f ms\n", story.figures.dataplane_killed_outage_ms);
	assert_int_equal(story.figures.sessions_lost, 0);
	story.figures.ping_lost = 0;
	assert_done(story_ping(&story, 2, &err));
	assert_int_equal(story.figures.ping_lost, 0);
}

/* The node's first VXLAN device; index 0 when it has none. */
static struct netdev first_vxlan(unsigned int node)
{
	struct netdev found = {{0}};
	struct netdev *list = NULL;
	unsigned int n = 0;

	assert_done(netdev_list(&story.lab, node, &list, &n, &err));
	for (unsigned int i = 0; i < n && !found.index; i++)
		if (strncmp(list[i].name, "vx", 2) == 0)
			found = list[i];
	free(list);
	return found;
}

static void a_deleted_vxlan_device_returns(void **state)
{
	const struct netdev was = first_vxlan(0);
	const double began = story_now();
	struct netdev is;

	(void)state;
	assert_int_not_equal(was.index, 0);
	assert_done(netdev_delete(&story.lab, 0, was.index, &err));
	/* the first VXLAN device by index is then another one: the deleted one returns as the last
	 */
	do {
		struct netdev *list = NULL;
		unsigned int n = 0;

		memset(&is, 0, sizeof(is));
		assert_done(netdev_list(&story.lab, 0, &list, &n, &err));
		for (unsigned int i = 0; i < n; i++)
			if (strcmp(list[i].name, was.name) == 0)
				is = list[i];
		free(list);
		poll(NULL, 0, 2);
	} while (!is.index && story_now() < began + 10000);
	print_message("device deleted by hand: back after %.0f ms\n", story_now() - began);
	assert_int_not_equal(is.index, 0);
	assert_true(story_now() - began < 1000);
	assert_done(story_provision(&story, tenant_path, 30000, &(double){0}, &err));
	story.figures.ping_lost = 0;
	assert_done(story_ping(&story, 2, &err));
	assert_int_equal(story.figures.ping_lost, 0);
}

static void a_daemon_that_is_down_is_said_and_heals(void **state)
{
	static const Audums__V1__Kind kind = AUDUMS__V1__KIND__KIND_NODE;
	static const char *const name = "lnb1";
	const struct story_wait down = {
		.kinds = &kind, .kind_count = 1, .names = &name, .name_count = 1, .ready = false};

	(void)state;
	assert_done(lab_process_stop(LAB, "lnb1/bgpd", &err));
	assert_done(story_wait(&story, &down, 10000, &err));
	assert_done(lab_process_start(LAB, "lnb1/bgpd", &err));
	assert_done(story_wait_nodes(&story, 60000, &err));
	assert_done(story_provision(&story, tenant_path, 60000, &(double){0}, &err));
	story.figures.ping_lost = 0;
	assert_done(story_ping(&story, 2, &err));
	assert_int_equal(story.figures.ping_lost, 0);
}

static void the_kernel_forwarded_nothing(void **state)
{
	(void)state;
	for (unsigned int node = 0; node < story.lab.node_count; node++) {
		struct netdev *list = NULL;
		unsigned int devices = 0;
		unsigned int n = 0;

		assert_done(netdev_list(&story.lab, node, &list, &n, &err));
		for (unsigned int i = 0; i < n; i++) {
			if (strncmp(list[i].name, "vx", 2) != 0)
				continue;
			devices++;
			assert_int_equal(list[i].tx_packets, 0);
		}
		free(list);
		assert_true(devices > 0);
	}
}

static void what_is_deleted_is_gone(void **state)
{
	struct lab_workload *list = NULL;
	unsigned int n = 0;
	char *after;
	double ms;

	(void)state;
	assert_done(lab_workload_list(&story.lab, &list, &n, &err));
	for (unsigned int i = 0; i < n; i++)
		assert_done(lab_workload_remove(&story.lab, list[i].name, &err));
	free(list);
	assert_done(story_delete(&story, second_path, 30000, &ms, &err));
	assert_done(story_delete(&story, tenant_path, 30000, &ms, &err));
	print_message("delete: %.0f ms\n", ms);
	assert_done(story_wait_nodes(&story, 30000, &err));
	for (unsigned int i = 0; i < story.lab.node_count; i++) {
		after = snapshot_settled(i);
		assert_string_equal(before[i], after);
		free(after);
	}
	assert_done(story_delete(&story, tenant_path, 30000, &ms, &err));
}

int main(int argc, char *argv[])
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(nodes_and_links_become_ready),
		cmocka_unit_test(a_segment_is_provisioned_at_four_sites),
		cmocka_unit_test(applying_again_changes_nothing),
		cmocka_unit_test(everyone_reaches_everyone),
		cmocka_unit_test(tenants_never_see_each_other),
		cmocka_unit_test(a_workload_moves_and_returns),
		cmocka_unit_test(a_link_loses_carrier),
		cmocka_unit_test(a_link_goes_silent),
		cmocka_unit_test(a_dead_controller_costs_nothing),
		cmocka_unit_test(a_dead_agent_costs_nothing),
		cmocka_unit_test(a_dead_dataplane_returns_by_itself),
		cmocka_unit_test(a_deleted_vxlan_device_returns),
		cmocka_unit_test(a_daemon_that_is_down_is_said_and_heals),
		cmocka_unit_test(the_kernel_forwarded_nothing),
		cmocka_unit_test(what_is_deleted_is_gone),
	};

	if (argc != 2) {
		fprintf(stderr, "usage: %s SOURCE_DIR\n", argv[0]);
		return 64;
	}
	if (geteuid() != 0) {
		fprintf(stderr, "skipped: needs root for network namespaces\n");
		return 77;
	}
	snprintf(topology_path, sizeof(topology_path), "%s/topology/latvia.yaml", argv[1]);
	snprintf(tenant_path, sizeof(tenant_path), "%s/topology/demo-tenant.yaml", argv[1]);
	snprintf(second_path, sizeof(second_path), "%s/topology/second-tenant.yaml", argv[1]);
	return cmocka_run_group_tests(tests, bring_up, take_down);
}
