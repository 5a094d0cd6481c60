/*
 * Without a daemon: what FRR 8.4.4 was recorded to say is understood; what the renderer makes of a
 * desired state equals data/render.txt; sets of items are kept and found again.
 */
#include "tests/unit/agent/support.h"

#include "controller/agent/desired.h"
#include "controller/agent/frr/conf.h"
#include "controller/agent/frr/readback.h"
#include "controller/agent/frr/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_vnis(void **state)
{
	char *text = support_read("bgpd-8.4.4-vni.bin", NULL); /* ends at its first zero */
	const struct rb_vni *v;
	struct rb_vnis r;

	assert_int_equal(rb_vnis_parse(&r, text), 0);
	free(text);
	assert_true(r.advertise_all);
	assert_int_equal(r.count, 2);
	v = rb_vnis_find(&r, 70001);
	assert_non_null(v);
	assert_true(v->in_kernel && v->is_l2);
	assert_string_equal(v->rd, "10.254.1.1:7");
	assert_int_equal(v->import_count, 1);
	assert_string_equal(v->rt_import[0], "64500:70001");
	assert_int_equal(v->export_count, 1);
	assert_string_equal(v->rt_export[0], "64500:70001");
	assert_null(rb_vnis_find(&r, 70003));
	rb_vnis_clear(&r);
}

static void test_summary(void **state)
{
	char *text = support_read("bgpd-8.4.4-summary.bin", NULL);
	const struct rb_peer *p;
	struct rb_summary r;

	assert_int_equal(rb_summary_parse(&r, text), 0);
	free(text);
	assert_int_equal(r.as, 64511);
	assert_string_equal(r.router_id, "10.254.1.1");
	p = rb_peers_find(&r.ipv4, "10.253.1.1");
	assert_non_null(p);
	assert_true(p->established);
	assert_int_equal(p->remote_as, 64512);
	assert_null(rb_peers_find(&r.evpn, "10.253.1.1"));
	assert_non_null(rb_peers_find(&r.evpn, "10.254.2.1"));
	rb_summary_clear(&r);

	text = support_read("bgpd-8.4.4-no-instance-summary.bin", NULL);
	assert_int_equal(rb_summary_parse(&r, text), 0);
	free(text);
	assert_int_equal(r.as, 0);
	rb_summary_clear(&r);
}

static void test_bfd(void **state)
{
	char *text = support_read("bfdd-8.4.4-peers.bin", NULL);
	const struct rb_bfd_peer *p;
	struct rb_bfd r;

	assert_int_equal(rb_bfd_parse(&r, text), 0);
	free(text);
	p = rb_bfd_find(&r, "10.253.1.1");
	assert_non_null(p);
	assert_true(p->up && !p->multihop);
	assert_int_equal(p->transmit_ms, 100);
	assert_int_equal(p->receive_ms, 100);
	assert_int_equal(p->multiplier, 3);
	rb_bfd_clear(&r);
}

static void test_malformed(void **state)
{
	static const char *const bad[] = {"", "{", "nonsense", "{\"70001\":", "[1,2", "\xff\xfe"};
	static const char *const odd[] = {"{\"70001\": 5, \"x\": {}, \"99999999999\": {}}",
		"{\"70001\": {\"rd\": 5, \"importRTs\": \"x\", \"exportRTs\": [1, null, {}]}}",
		"{\"ipv4Unicast\": {\"as\": -1, \"peers\": []}}",
		"{\"ipv4Unicast\": {\"as\": 1, \"peers\": {\"1:2:3:4:5:6:7:8:9:10\": {}, "
		"\"1.2.3.4\": 7}}}"};
	struct rb_vnis v;
	struct rb_summary s;
	struct rb_bfd b;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(rb_vnis_parse(&v, bad[i]), -EINVAL);
		assert_int_equal(rb_summary_parse(&s, bad[i]), -EINVAL);
		assert_int_equal(rb_bfd_parse(&b, bad[i]), -EINVAL);
		assert_int_equal(v.count + b.count + s.ipv4.count, 0);
	}
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		assert_int_equal(rb_vnis_parse(&v, odd[i]), 0);
		rb_vnis_clear(&v);
		assert_int_equal(rb_summary_parse(&s, odd[i]), 0);
		rb_summary_clear(&s);
		assert_int_equal(rb_bfd_parse(&b, odd[i]), -EINVAL);
	}
	assert_int_equal(rb_bfd_parse(&b, "[1, {\"peer\": \"fe80::1234:5678:9abc:def0\"}]"), 0);
	rb_bfd_clear(&b);
}

/* ---- rendering ---- */

static void desired_make(struct desired *d, unsigned int segments)
{
	Audums__V1__DesiredState *m = support_desired(1, 1, segments, 70001);
	char error[200];

	memset(d, 0, sizeof(*d));
	assert_int_equal(desired_merge(d, m, error, sizeof(error)), 0);
	audums__v1__desired_state__free_unpacked(m, NULL);
}

static void print_conf(FILE *f, const char *daemon, const struct conf *c)
{
	for (size_t i = 0; i < c->count; i++)
		fprintf(f, "=== %s %s\n--- in\n%s--- apply\n%s--- undo\n%s", daemon,
			c->items[i].key, c->items[i].context, c->items[i].apply, c->items[i].undo);
}

static void test_render(void **state)
{
	struct desired d;
	struct conf c = {0};
	char *text = NULL, *golden;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	assert_non_null(f);
	desired_make(&d, 2);
	assert_int_equal(render_zebra(&d, &c), 0);
	print_conf(f, "zebra", &c);
	assert_int_equal(render_bfdd(&d, &c), 0);
	print_conf(f, "bfdd", &c);
	assert_int_equal(render_bgpd(&d, &c), 0);
	print_conf(f, "bgpd", &c);
	fclose(f);
	if (getenv("AGENT_TEST_GOLDEN")) {
		FILE *out = fopen(AGENT_TEST_DATA "/render.txt", "we");

		assert_non_null(out);
		fputs(text, out);
		fclose(out);
	}
	golden = support_read("render.txt", NULL);
	assert_string_equal(text, golden);
	free(golden);
	free(text);
	conf_clear(&c);
	desired_clear(&d);
	assert_int_equal(render_bgpd(&d, &c), 0);
	assert_int_equal(c.count, 0);
}

static void test_conf_kept(void **state)
{
	char path[64];
	struct desired d;
	struct conf c = {0}, back = {0};

	snprintf(path, sizeof(path), "/tmp/audums-agent-conf-%d.json", (int)getpid());
	desired_make(&d, 50);
	assert_int_equal(render_bgpd(&d, &c), 0);
	for (size_t i = 1; i < c.count; i++)
		assert_true(c.items[i - 1].order <= c.items[i].order);
	c.items[3].sure = true;
	assert_int_equal(conf_save(&c, path, "boot/1/2"), 0);
	assert_int_equal(conf_load(&back, path, "boot/1/2"), 0);
	assert_int_equal(back.count, c.count);
	for (size_t i = 0; i < c.count; i++) {
		const struct conf_item *it = conf_find(&back, c.items[i].order, c.items[i].key);

		assert_non_null(it);
		assert_true(conf_item_equal(it, &c.items[i]));
		assert_int_equal(it->sure, i == 3);
	}
	/* another process of the daemon, nonsense, nothing */
	assert_int_equal(conf_load(&back, path, "boot/1/3"), 0);
	assert_int_equal(back.count, 0);
	assert_int_equal(truncate(path, 100), 0);
	assert_int_equal(conf_load(&back, path, "boot/1/2"), 0);
	assert_int_equal(back.count, 0);
	unlink(path);
	assert_int_equal(conf_load(&back, path, "boot/1/2"), 0);
	assert_int_equal(back.count, 0);
	conf_clear(&c);
	desired_clear(&d);
}

static void test_conf_set(void **state)
{
	struct conf c = {0};
	char key[32];

	for (unsigned int i = 0; i < 200; i++) {
		snprintf(key, sizeof(key), "vni/%u", (i * 7919) % 200);
		assert_int_equal(conf_put(&c, CONF_VNI, true, key, "", "a\n", ""), 0);
		assert_int_equal(conf_put(&c, CONF_VNI, true, key, "", "b\n", ""), 0);
	}
	assert_int_equal(c.count, 200);
	for (unsigned int i = 0; i < 200; i++) {
		struct conf_item *it;

		snprintf(key, sizeof(key), "vni/%u", i);
		it = conf_find(&c, CONF_VNI, key);
		assert_non_null(it);
		assert_string_equal(it->apply, "b\n");
		conf_remove(&c, it);
		assert_null(conf_find(&c, CONF_VNI, key));
	}
	assert_int_equal(c.count, 0);
	conf_clear(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vnis),
		cmocka_unit_test(test_summary),
		cmocka_unit_test(test_bfd),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_render),
		cmocka_unit_test(test_conf_kept),
		cmocka_unit_test(test_conf_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
