/*
 * The lab library without a lab: plans and their refusals, outages, announcements.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "controller/ctl/lab/announce.h"
#include "controller/ctl/lab/internal.h"
#include "controller/ctl/lab/outage.h"
#include "topology/load.h"

/* ---- plans -------------------------------------------------------------------------------- */

static int plan_text(struct lab *lab, const char *text, struct lab_err *err)
{
	struct topology topology = {0};
	struct problems problems;
	int ret;

	problems_init(&problems);
	if (topology_load_text("t.yaml", text, strlen(text), 0, &topology, &problems)) {
		problems_print(&problems, stderr);
		fail_msg("the test's topology does not load");
	}
	err->text[0] = '\0';
	ret = lab_plan(lab, "test", topology.document, err);
	topology_free(&topology);
	problems_free(&problems);
	return ret;
}

static void test_names(void **state)
{
	char name[LAB_NAME_LEN];

	lab_name_from_path("topology/latvia.yaml", name);
	assert_string_equal(name, "latvia");
	lab_name_from_path("/x/Chain-5_nodes.v2.yaml", name);
	assert_string_equal(name, "chain5nodes");
	lab_name_from_path("12.yaml", name);
	assert_string_equal(name, "lab");
	lab_name_from_path("averyveryverylongname.yaml", name);
	assert_int_equal(strlen(name), LAB_NAME_LEN - 1);
}

static void test_plan(void **state)
{
	static struct lab lab;
	struct lab_err err;
	char name[LAB_NETNS_LEN], dev[LAB_IFNAME_LEN];

	assert_int_equal(plan_text(&lab,
				 "nodes:\n"
				 "- {name: a, provider: p, site: s, access_ports: [p1, p2]}\n"
				 "- {name: averylongnameofanode, provider: p, site: s, "
				 "access_ports: [p1]}\n"
				 "- {name: c, provider: p, site: s, unmanaged: true}\n"
				 "links:\n"
				 "- name: l1\n"
				 "  provider: p\n"
				 "  a: {node: a, port: up0}\n"
				 "  b: {node: averylongnameofanode, port: up0}\n"
				 "- name: l2\n"
				 "  provider: p\n"
				 "  a: {node: a, port: up1}\n"
				 "  b: {node: averylongnameofanode, port: up1}\n"
				 "  mtu: 9000\n",
				 &err),
		0);
	assert_int_equal(lab.node_count, 3);
	assert_int_equal(lab.link_count, 2);
	assert_int_equal(lab.links[0].mtu, 1600);
	assert_int_equal(lab.links[1].mtu, 9000);
	assert_int_equal(lab_node_find(&lab, "c"), 2);
	assert_int_equal(lab_node_find(&lab, "d"), -1);
	lab_netns_wire(&lab, 0, name);
	assert_string_equal(name, "au-test-a-wire");
	lab_netns_wire(&lab, 2, name);
	assert_string_equal(name, "au-test-c");
	lab_parked_dev(&lab, 0, 1, dev);
	assert_string_equal(dev, "a-p2");
	/* a name that does not fit an interface's is replaced by a short one */
	lab_parked_dev(&lab, 1, 0, dev);
	assert_string_equal(dev, "n1.0");
}

static void test_plan_refused(void **state)
{
	static const struct {
		const char *nodes;
		const char *expected;
	} cases[] = {
		{"tenants: []\n", "no nodes"},
		{"nodes: [{name: bb, provider: p, site: s}]\n", "the lab uses that name"},
		{"nodes: [{name: pki, provider: p, site: s}]\n", "the lab uses that name"},
		{"nodes: [{name: workloads, provider: p, site: s}]\n", "the lab uses that name"},
		{"nodes: [{name: w-a, provider: p, site: s}]\n", "workloads'"},
		{"nodes: [{name: a, provider: p, site: s}, {name: a-wire, provider: p, site: s}]\n",
			"one name"},
		{"nodes: [{name: a, provider: p, site: s}]\n"
		 "links: [{name: l, provider: p, a: {node: a, port: u}, b: {node: b, port: u}}]\n",
			"not defined"},
		{"nodes: [{name: a, provider: p, site: s, access_ports: [u]}, "
		 "{name: b, provider: p, site: s}]\n"
		 "links: [{name: l, provider: p, a: {node: a, port: u}, b: {node: b, port: u}}]\n",
			"used twice"},
		{"nodes: [{name: a, provider: p, site: s}, {name: b, provider: p, site: s}]\n"
		 "links: [{name: l, provider: p, a: {node: a, port: mgmt0}, b: {node: b, port: u}}]\n",
			"cannot be called \"mgmt0\""},
	};
	static struct lab lab;
	struct lab_err err;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(plan_text(&lab, cases[i].nodes, &err), -EINVAL);
		if (!strstr(err.text, cases[i].expected))
			fail_msg("case %zu: %s", i, err.text);
	}
}

static void test_plan_too_many(void **state)
{
	static struct lab lab;
	struct lab_err err;
	char text[2048] = "nodes:\n";

	for (int i = 0; i < LAB_NODES_MAX + 1; i++)
		sprintf(text + strlen(text), "- {name: n%d, provider: p, site: s}\n", i);
	assert_int_equal(plan_text(&lab, text, &err), -EINVAL);
	assert_non_null(strstr(err.text, "13 nodes"));
	Audums__V1__Document empty = AUDUMS__V1__DOCUMENT__INIT;

	assert_int_equal(lab_plan(&lab, "No-Good", &empty, &err), -EINVAL);
	assert_non_null(strstr(err.text, "cannot be a lab's name"));
}

/* ---- outages ------------------------------------------------------------------------------ */

#define MS 1000000ull

static void test_outages(void **state)
{
	static const char row[] = "....xxx..x....xx";
	struct outage_counter c = {0};

	for (size_t i = 0; i < sizeof(row) - 1; i++)
		outage_sample(&c, i * MS, row[i] == '.');
	assert_int_equal(c.count, 2);
	outage_end(&c, (sizeof(row) - 1) * MS);
	assert_int_equal(c.count, 3);
	assert_int_equal(c.longest_ns, 3 * MS);
	assert_int_equal(c.list[0].lost, 3);
	assert_true(c.list[0].start_ms > 3.99 && c.list[0].start_ms < 4.01);
	assert_true(c.list[0].duration_ms > 2.99 && c.list[0].duration_ms < 3.01);
	assert_int_equal(c.list[1].lost, 1);
	assert_int_equal(c.list[2].lost, 2);
	outage_end(&c, 100 * MS); /* none is open: nothing */
	assert_int_equal(c.count, 3);
}

static void test_outages_many(void **state)
{
	struct outage_counter c = {0};

	for (uint64_t i = 0; i < 1000; i++)
		outage_sample(&c, i * MS, i % 2);
	assert_int_equal(c.count, 500);
	assert_int_equal(c.longest_ns, MS);
}

static void test_outages_none(void **state)
{
	struct outage_counter c = {0};

	outage_end(&c, 5);
	for (uint64_t i = 0; i < 10; i++)
		outage_sample(&c, i * MS, true);
	outage_end(&c, 10 * MS);
	assert_int_equal(c.count, 0);
	assert_int_equal(c.longest_ns, 0);
}

/* ---- announcements ------------------------------------------------------------------------ */

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x11};

static void test_arp(void **state)
{
	static const uint8_t expected[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 0x11,
		0x08, 0x06, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 0x11, 192, 0, 2, 7, 0, 0, 0, 0,
		0, 0, 192, 0, 2, 7};
	uint8_t frame[ANNOUNCE_MAX];
	struct in_addr address;

	inet_pton(AF_INET, "192.0.2.7", &address);
	assert_int_equal(announce_arp(frame, mac, address), sizeof(expected));
	assert_memory_equal(frame, expected, sizeof(expected));
}

static void test_na(void **state)
{
	uint8_t frame[ANNOUNCE_MAX];
	struct in6_addr address;
	uint32_t sum = 0;
	size_t len;

	inet_pton(AF_INET6, "2001:db8::7", &address);
	len = announce_na(frame, mac, &address);
	assert_int_equal(len, 14 + 40 + 32);
	assert_int_equal(frame[0], 0x33); /* to all nodes */
	assert_int_equal(frame[5], 1);
	assert_int_equal(frame[14 + 7], 255); /* hop limit, RFC 4861 section 7.1.2 */
	assert_int_equal(frame[54], 136);     /* neighbour advertisement */
	assert_int_equal(frame[58], 0x20);    /* override, not solicited */
	assert_memory_equal(frame + 62, &address, 16);
	assert_int_equal(frame[78], 2); /* target link-layer address */
	assert_memory_equal(frame + 80, mac, 6);
	/* the checksum over pseudo header and message is right when the sum is all ones */
	for (size_t i = 22; i < len; i += 2)
		sum += (uint32_t)frame[i] << 8 | frame[i + 1];
	sum += 32 + 58;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	assert_int_equal(sum, 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_plan),
		cmocka_unit_test(test_plan_refused),
		cmocka_unit_test(test_plan_too_many),
		cmocka_unit_test(test_outages),
		cmocka_unit_test(test_outages_many),
		cmocka_unit_test(test_outages_none),
		cmocka_unit_test(test_arp),
		cmocka_unit_test(test_na),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
