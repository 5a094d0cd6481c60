/* What comes from outside: desired state, port inventory, small texts. */
#include "tests/unit/agent/support.h"

#include "controller/agent/desired.h"
#include "controller/agent/inventory.h"
#include "controller/agent/kernel/journal.h"
#include "controller/agent/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char error[256];

static int merge(struct desired *d, Audums__V1__DesiredState *m)
{
	const int err = desired_merge(d, m, error, sizeof(error));

	audums__v1__desired_state__free_unpacked(m, NULL);
	return err;
}

static void test_text(void **state)
{
	uint32_t ip;
	uint8_t plen;

	assert_true(text_ipv4("10.254.1.1", &ip) && ip == 0x0afe0101);
	assert_false(text_ipv4("10.254.1", &ip) || text_ipv4("10.254.1.256", &ip) ||
		     text_ipv4("10.254.1.1 ", &ip) || text_ipv4("10.254.01.1", &ip) ||
		     text_ipv4("", &ip) || text_ipv4("10.254.1.1\n", &ip) || text_ipv4("a", &ip));
	assert_true(text_ipv4_plen("10.253.1.0/31", &ip, &plen) && plen == 31);
	assert_false(text_ipv4_plen("10.253.1.0", &ip, &plen) ||
		     text_ipv4_plen("10.253.1.0/33", &ip, &plen) ||
		     text_ipv4_plen("10.253.1.0/", &ip, &plen));
	assert_true(text_rd("10.0.0.1:65535") && text_rt("65001:16777215"));
	assert_false(text_rd("10.0.0.1:70001") || text_rd("65001:1") || text_rd("10.0.0.1:"));
	assert_false(text_rt("70000:1") || text_rt("0:1") || text_rt("1:16777216") ||
		     text_rt("1:1\nno router bgp") || text_rt("*:1"));
	assert_true(text_name("a-1", 31));
	assert_false(text_name("", 31) || text_name("A", 31) || text_name("a-", 31) ||
		     text_name("1a", 31) || text_name("a b", 31) || text_name("abc", 2));
}

static void test_merge(void **state)
{
	struct desired d = {0};
	Audums__V1__DesiredState *m;

	assert_int_equal(merge(&d, support_desired(1, 1, 3, 100)), 0);
	assert_int_equal(d.count, 3);
	assert_int_equal(d.vni_count, 3);
	desired_find(&d, "seg1")->kernel_ok = true;
	desired_find(&d, "seg1")->frr_ok = true;

	/* a difference: one changes, one goes, the base stays */
	m = support_desired(1, 2, 1, 100);
	m->full = false;
	audums__v1__node_base__free_unpacked(m->node_base, NULL);
	m->node_base = NULL;
	m->segments[0]->mtu = 1400;
	m->removed_segments = calloc(1, sizeof(char *));
	m->removed_segments[0] = strdup("seg2");
	m->n_removed_segments = 1;
	assert_int_equal(merge(&d, m), 0);
	assert_int_equal(d.count, 2);
	assert_int_equal(d.generation, 2);
	assert_non_null(d.base);
	assert_int_equal(desired_find(&d, "seg0")->cfg->mtu, 1400);
	assert_true(desired_find(&d, "seg1")->frr_ok);
	assert_false(desired_find(&d, "seg0")->frr_ok);
	assert_null(desired_find(&d, "seg2"));

	/* a whole state with an unchanged segment keeps what is known of it */
	assert_int_equal(merge(&d, support_desired(1, 3, 2, 100)), 0);
	assert_true(desired_find(&d, "seg1")->frr_ok && desired_find(&d, "seg1")->kernel_ok);
	assert_non_null(desired_vni(&d, 101));
	assert_null(desired_vni(&d, 102));
	desired_clear(&d);
}

static void refused_base(void (*spoil)(Audums__V1__NodeBase *b))
{
	struct desired d = {0};
	Audums__V1__DesiredState *m = support_desired(1, 1, 1, 100);

	assert_int_equal(merge(&d, support_desired(1, 1, 2, 100)), 0);
	spoil(m->node_base);
	assert_int_equal(merge(&d, m), -EINVAL);
	assert_true(strlen(error) > 0);
	assert_int_equal(d.count, 2); /* nothing of it was taken */
	desired_clear(&d);
}

static void set(char **field, const char *value)
{
	free(*field);
	*field = strdup(value);
}

static void spoil_vtep(Audums__V1__NodeBase *b)
{
	set(&b->vtep, "10.254.1.1\nno router bgp");
}
static void spoil_peer(Audums__V1__NodeBase *b)
{
	set(&b->evpn_peers[0]->address, "x");
}
static void spoil_asn(Audums__V1__NodeBase *b)
{
	b->asn = 65536;
}
static void spoil_uplink(Audums__V1__NodeBase *b)
{
	set(&b->uplinks[0]->address, "10.253.1.0");
}
static void spoil_port(Audums__V1__NodeBase *b)
{
	set(&b->uplinks[0]->port, "../up0");
}
static void spoil_mtu(Audums__V1__NodeBase *b)
{
	b->uplinks[0]->mtu = 100;
}

static void test_bad_base(void **state)
{
	refused_base(spoil_vtep);
	refused_base(spoil_peer);
	refused_base(spoil_asn);
	refused_base(spoil_uplink);
	refused_base(spoil_port);
	refused_base(spoil_mtu);
}

static void test_bad_segments(void **state)
{
	struct desired d = {0};
	Audums__V1__DesiredState *m = support_desired(1, 1, 9, 100);

	m->segments[1]->vni = 100;                /* seg0's */
	set(&m->segments[2]->rd, "10.254.1.1:1"); /* seg0's */
	set(&m->segments[3]->rd, "10.254.1.1:70001");
	set(&m->segments[4]->rt_import[0], "4200000000:1");
	m->segments[5]->mtu = 100;
	m->segments[6]->n_rt_export = 0;
	free(m->segments[6]->rt_export[0]);
	support_attach(m, 7, "a", "p1");
	m->segments[7]->attachments[0]->vlan = 5;
	support_attach(m, 7, "b", "p2");
	support_attach(m, 8, "c", "p2"); /* seg7's */
	assert_int_equal(merge(&d, m), 0);
	assert_int_equal(d.count, 9);
	assert_int_equal(d.vni_count, 3);
	for (unsigned int i = 1; i <= 6; i++) {
		char name[16];

		snprintf(name, sizeof(name), "seg%u", i);
		assert_true(desired_find(&d, name)->invalid[0]);
	}
	assert_string_equal(desired_find(&d, "seg1")->invalid, "VNI 100 belongs to segment seg0");
	assert_non_null(strstr(desired_find(&d, "seg7")->attachments[0].invalid, "VLAN 5"));
	assert_string_equal(desired_find(&d, "seg7")->attachments[1].invalid, "");
	assert_string_equal(desired_find(&d, "seg8")->attachments[0].invalid,
		"port p2 belongs to segment seg7");
	desired_clear(&d);

	/* the same name twice is refused as a whole */
	m = support_desired(1, 1, 2, 100);
	set(&m->segments[1]->name, "seg0");
	assert_int_equal(merge(&d, m), -EINVAL);
	assert_int_equal(d.count, 0);
}

static void test_kept(void **state)
{
	struct desired d = {0}, e = {0};
	Audums__V1__DesiredState *m;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/audums-agent-desired-%d.pb", (int)getpid());
	unlink(path);
	assert_null(desired_read(path));
	assert_int_equal(errno, ENOENT);
	assert_int_equal(merge(&d, support_desired(1, 42, 300, 100)), 0);
	assert_int_equal(desired_save(&d, path), 0);
	m = desired_read(path);
	assert_non_null(m);
	assert_true(m->full && m->last);
	assert_int_equal(merge(&e, m), 0);
	assert_int_equal(e.generation, 42);
	assert_int_equal(e.count, 300);
	assert_int_equal(truncate(path, 1001), 0);
	assert_null(desired_read(path));
	assert_int_equal(errno, EINVAL);
	unlink(path);
	desired_clear(&d);
	desired_clear(&e);
}

static int inventory(struct inventory *inv, const char *text)
{
	char path[64];
	FILE *f;
	int err;

	snprintf(path, sizeof(path), "/tmp/audums-agent-ports-%d.conf", (int)getpid());
	f = fopen(path, "we");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	err = inventory_load(inv, path, error, sizeof(error));
	unlink(path);
	return err;
}

static void test_inventory(void **state)
{
	struct inventory inv = {0};

	assert_int_equal(inventory(&inv, "# ports\n\nport up0 role=uplink backend=packet "
					 "netns=/run/netns/x device=up0 tap=u0 # the ring\n"
					 "port p1 role=access backend=ethdev vdev=net_ring0,a=b\n"),
		0);
	assert_int_equal(inv.count, 2);
	assert_string_equal(inventory_find(&inv, "up0")->tap, "u0");
	assert_int_equal(inventory_find(&inv, "p1")->role, PORT_ACCESS);
	assert_string_equal(inventory_find(&inv, "p1")->tap, "p1");
	assert_null(inventory_find(&inv, "p2"));
	assert_int_equal(inventory(&inv, "port p1 role=acces\n"), -EINVAL);
	assert_non_null(strstr(error, ":1: role"));
	assert_int_equal(inventory(&inv, "\nport P1 role=access\n"), -EINVAL);
	assert_non_null(strstr(error, ":2: port name"));
	assert_int_equal(inventory(&inv, "port p1\n"), -EINVAL);
	assert_int_equal(inventory(&inv, "link p1 role=access\n"), -EINVAL);
	assert_int_equal(inventory(&inv, "port p1 role=access tap=a/b\n"), -EINVAL);
	assert_int_equal(
		inventory(&inv, "port p1 role=access\nport p1 role=access tap=x\n"), -EEXIST);
	assert_int_equal(
		inventory(&inv, "port p1 role=access\nport p2 role=access tap=p1\n"), -EEXIST);
	assert_int_equal(inv.count, 2); /* the old one stays */
	inventory_clear(&inv);
}

static void test_journal(void **state)
{
	struct journal j, k;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/audums-agent-journal-%d", (int)getpid());
	unlink(path);
	assert_int_equal(journal_open(&j, path), 0);
	assert_int_equal(journal_add_addr(&j, "lo", 0x0afe0101, 32), 0);
	for (unsigned int i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "br%u", i);
		assert_int_equal(journal_add_link(&j, name), 0);
		assert_int_equal(journal_add_link(&j, name), 0);
	}
	journal_remove_link(&j, "br7");
	assert_int_equal(j.count, 100);
	assert_int_equal(journal_save(&j), 0);
	f = fopen(path, "ae");
	fputs("nonsense\naddr lo 1.2.3\nlink br100\n", f);
	fclose(f);
	assert_int_equal(journal_open(&k, path), 0);
	assert_int_equal(k.count, 101);
	assert_true(journal_has_addr(&k, "lo", 0x0afe0101, 32));
	assert_true(journal_has_link(&k, "br100") && !journal_has_link(&k, "br7"));
	unlink(path);
	journal_clear(&j);
	journal_clear(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_bad_base),
		cmocka_unit_test(test_bad_segments),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_inventory),
		cmocka_unit_test(test_journal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
