/*
 * Bridge domains, VTEPs and ports: look-ups, lists, who may send, the ready-made outer header.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dataplane/tables/bd.h"
#include "dataplane/tables/port_tbl.h"
#include "dataplane/tables/vtep.h"

static void test_bd(void **state)
{
	struct rcu rcu;
	struct bd_tbl *t;
	const uint16_t ports[] = {5, 1, 5}, flood[] = {9, 3}, allowed[] = {70};
	struct bd_config c = {.vni = 100,
		.mtu = 1500,
		.local = 1,
		.acs = ports,
		.n_acs = 3,
		.flood = flood,
		.n_flood = 2,
		.allowed = allowed,
		.n_allowed = 1};
	const struct bd *bd;

	(void)state;
	rcu_init(&rcu, 1);
	rcu_worker_register(&rcu, 0);
	rcu_worker_online(&rcu, 0);
	t = bd_tbl_create(&rcu, 2, 100);
	assert_int_equal(bd_add(t, &c), 1);
	assert_int_equal(bd_add(t, &c), -EEXIST);
	assert_int_equal(bd_by_vni(t, 100), 1);
	assert_int_equal(bd_by_vni(t, 101), BD_NONE);
	assert_int_equal(bd_by_vni(t, VNI_MAX), BD_NONE);
	bd = bd_get(t, 1);
	assert_int_equal(bd->n_acs, 2);
	assert_int_equal(bd->acs[0], 1);
	assert_int_equal(bd->acs[1], 5);
	assert_int_equal(bd->flood[0], 3);
	assert_true(bd_allows(bd, 3) && bd_allows(bd, 9) && bd_allows(bd, 70));
	assert_false(bd_allows(bd, 4));
	assert_null(bd_get(t, 2));
	assert_null(bd_get(t, 60000));

	c.vni = 200;
	c.n_acs = 0;
	assert_int_equal(bd_set(t, 1, &c), 0);
	assert_int_equal(bd->n_acs, 2); /* what a worker holds does not change */
	assert_int_equal(bd_get(t, 1)->n_acs, 0);
	assert_int_equal(bd_by_vni(t, 100), BD_NONE);
	assert_int_equal(bd_by_vni(t, 200), 1);
	c.vni = 300;
	assert_int_equal(bd_add(t, &c), 2);
	c.vni = 200;
	assert_int_equal(bd_set(t, 2, &c), -EEXIST);
	c.vni = VNI_MAX + 1;
	assert_int_equal(bd_set(t, 2, &c), -EINVAL);
	c.vni = VNI_NONE;
	assert_int_equal(bd_add(t, &c), -ENOSPC);
	assert_int_equal(bd_del(t, 2), 0);
	assert_int_equal(bd_del(t, 2), -ENOENT);
	assert_int_equal(bd_set(t, 2, &c), -ENOENT);
	assert_non_null(bd_get(t, 2));
	assert_int_equal(bd_add(t, &c), -ENOSPC); /* the id rests */
	rcu_worker_quiescent(&rcu, 0);
	rcu_poll(&rcu, 100);
	assert_null(bd_get(t, 2));
	assert_int_equal(bd_add(t, &c), 2);
	assert_int_equal(bd_count(t), 2);
	rcu_worker_unregister(&rcu, 0);
	rcu_fini(&rcu);
	bd_tbl_destroy(t);
}

static void test_vtep(void **state)
{
	enum { MAX = 200 };
	struct rcu rcu;
	struct vtep_tbl t;
	rte_be32_t us = rte_cpu_to_be_32(0x0a000001);

	(void)state;
	rcu_init(&rcu, 1);
	rcu_worker_register(&rcu, 0);
	rcu_worker_online(&rcu, 0);
	assert_int_equal(vtep_tbl_init(&t, &rcu, MAX), 0);
	assert_int_equal(vtep_hold(&t, us, 0), -EINVAL);
	for (uint32_t i = 1; i <= MAX; i++)
		assert_int_equal(vtep_hold(&t, us, rte_cpu_to_be_32(i)), i);
	assert_int_equal(vtep_hold(&t, us, rte_cpu_to_be_32(999)), -ENOSPC);
	assert_int_equal(vtep_hold(&t, us, rte_cpu_to_be_32(7)), 7);
	for (uint32_t i = 1; i <= MAX; i++)
		assert_int_equal(vtep_lookup(&t, us, rte_cpu_to_be_32(i)), i);
	assert_int_equal(vtep_lookup(&t, rte_cpu_to_be_32(1), us), VTEP_NONE);
	assert_int_equal(vtep_lookup(&t, 0, 0), VTEP_NONE);
	vtep_set_nhg(&t, 7, 33);
	assert_int_equal(vtep_nhg(vtep_get(&t, 7)), 33);

	vtep_release(&t, 7);
	assert_int_equal(vtep_lookup(&t, us, rte_cpu_to_be_32(7)), 7);
	vtep_release(&t, 7);
	assert_int_equal(vtep_lookup(&t, us, rte_cpu_to_be_32(7)), VTEP_NONE);
	assert_int_equal(vtep_get(&t, 7)->remote, rte_cpu_to_be_32(7)); /* still readable */
	assert_int_equal(vtep_hold(&t, us, rte_cpu_to_be_32(7)), -ENOSPC);
	rcu_worker_quiescent(&rcu, 0);
	rcu_poll(&rcu, 100);
	assert_int_equal(vtep_hold(&t, us, rte_cpu_to_be_32(7)), 7);
	assert_int_equal(vtep_nhg(vtep_get(&t, 7)), 0);
	for (uint16_t i = 1; i <= MAX; i++)
		vtep_release(&t, i);
	assert_int_equal(t.count, 0);
	rcu_worker_unregister(&rcu, 0);
	rcu_fini(&rcu);
	vtep_tbl_fini(&t);
}

static void test_header(void **state)
{
	struct rcu rcu;
	struct vtep_tbl t;
	struct vtep_hdr h;

	(void)state;
	rcu_init(&rcu, 1);
	vtep_tbl_init(&t, &rcu, 4);
	assert_int_equal(sizeof(struct vtep_hdr), VTEP_HDR_LEN);
	for (uint32_t i = 0; i < 70000; i += 7) {
		uint16_t len = (uint16_t)(14 + i % 9000), cksum;
		int idx = vtep_hold(&t, rte_cpu_to_be_32(0xc0000200u + i * 977),
			rte_cpu_to_be_32(0x0a000001 + i * 31));

		vtep_hdr_write(vtep_get(&t, (uint16_t)idx), &h, 0xabcdef, len, 50000);
		assert_int_equal(rte_be_to_cpu_16(h.ip.total_length), len + 36);
		assert_int_equal(rte_be_to_cpu_16(h.udp.dgram_len), len + 16);
		cksum = h.ip.hdr_checksum;
		h.ip.hdr_checksum = 0;
		assert_int_equal(cksum, rte_ipv4_cksum(&h.ip));
		vtep_release(&t, (uint16_t)idx);
		rcu_poll(&rcu, 10);
	}
	assert_int_equal(h.ip.time_to_live, 64);
	assert_int_equal(h.ip.fragment_offset, rte_cpu_to_be_16(0x4000));
	assert_int_equal(h.udp.dst_port, rte_cpu_to_be_16(4789));
	assert_int_equal(h.udp.src_port, rte_cpu_to_be_16(50000));
	assert_int_equal(h.udp.dgram_cksum, 0);
	assert_int_equal(h.flags, rte_cpu_to_be_32(0x08000000));
	assert_int_equal(h.vni, rte_cpu_to_be_32(0xabcdef00));
	rcu_fini(&rcu);
	vtep_tbl_fini(&t);
}

static void test_ports(void **state)
{
	static struct port_tbl t;
	const struct rte_ether_addr mac = {{2, 0, 0, 0, 0, 1}};

	(void)state;
	assert_int_equal(port_tbl_add(&t, 3, PORT_KIND_ACCESS, "p1", "tap1", &mac, 1500), 0);
	assert_int_equal(port_tbl_add(&t, 3, PORT_KIND_ACCESS, "p2", "tap2", &mac, 1500), -EEXIST);
	assert_int_equal(port_tbl_add(&t, 4, PORT_KIND_ACCESS, "p1", "tap2", &mac, 1500), -EEXIST);
	assert_int_equal(
		port_tbl_add(&t, PORT_TBL_MAX, PORT_KIND_ACCESS, "p3", "t", &mac, 1), -EINVAL);
	assert_int_equal(port_tbl_add(&t, 5, PORT_KIND_ACCESS, "a-name-too-long-x", "t", &mac, 1),
		-ENAMETOOLONG);
	assert_int_equal(t.n, 4);
	assert_int_equal(port_by_name(&t, "p1"), 3);
	assert_int_equal(port_by_tap(&t, "tap1"), 3);
	assert_int_equal(port_by_tap(&t, "p1"), PORT_NONE);
	assert_int_equal(port_by_ifindex(&t, 0), PORT_NONE);
	port_set_tap_ifindex(&t, 3, 17);
	assert_int_equal(port_by_ifindex(&t, 17), 3);
	assert_false(port_up(&t, 3));
	port_tbl_del(&t, 3);
	assert_int_equal(port_by_ifindex(&t, 17), PORT_NONE);
	assert_int_equal(port_tbl_add(&t, 3, PORT_KIND_UPLINK, "p1", "tap1", &mac, 1500), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bd),
		cmocka_unit_test(test_vtep),
		cmocka_unit_test(test_header),
		cmocka_unit_test(test_ports),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
