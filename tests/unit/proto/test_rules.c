/* The schema's rules at run time: found in the embedded descriptor set, and enforced one by one. */
#include "tests/unit/proto/test.h"

#include "audums/v1/fabric.pb-c.h"
#include "proto/lib/rules.h"
#include "proto/lib/schema.h"

static void rules_are_found(void **state)
{
	const Audums__V1__Rules *r;

	assert_int_equal(schema_init(), 0);
	r = schema_rules_by_name("audums.v1.Segment", 12);
	assert_non_null(r);
	assert_int_equal(r->min, 1);
	assert_int_equal(r->max, 16777215);
	r = schema_rules_by_name("audums.v1.Node", 10);
	assert_true(r->required);
	assert_string_equal(r->ref, "site");
	r = schema_rules_by_name("audums.v1.Link", 4);
	assert_string_equal(r->unique_key, "key");
	assert_null(schema_rules_by_name("audums.v1.Attachment", 14));
	assert_null(schema_rules_by_name("audums.v1.Nothing", 1));
	assert_null(schema_rules_by_name("audums.v1.Segment", 999));
	assert_true(schema_output_only(&audums__v1__segment__descriptor,
		protobuf_c_message_descriptor_get_field_by_name(
			&audums__v1__segment__descriptor, "status")));
}

/*
 * What other code relies on: fields that only the controller sets are singular and in no oneof
 * (model_merge keeps them by swapping), and each reference names a kind.
 */
static void schema_keeps_its_promises(void **state)
{
	static const ProtobufCMessageDescriptor *const objects[] = {
		&audums__v1__provider__descriptor, &audums__v1__site__descriptor,
		&audums__v1__node__descriptor, &audums__v1__link__descriptor,
		&audums__v1__link_end__descriptor, &audums__v1__tenant__descriptor,
		&audums__v1__segment__descriptor, &audums__v1__attachment__descriptor};
	static const char *const kinds[] = {
		"provider", "site", "node", "link", "tenant", "segment"};

	for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
		for (unsigned k = 0; k < objects[i]->n_fields; k++) {
			const ProtobufCFieldDescriptor *f = &objects[i]->fields[k];
			const Audums__V1__Rules *r = schema_rules(objects[i], f);
			bool known = false;

			if (r == NULL)
				continue;
			if (r->output_only) {
				assert_int_not_equal(f->label, PROTOBUF_C_LABEL_REPEATED);
				assert_false(f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF);
			}
			for (size_t j = 0; j < sizeof(kinds) / sizeof(kinds[0]); j++)
				known |= strcmp(r->ref, kinds[j]) == 0;
			assert_true(known || r->ref[0] == '\0');
		}
	}
}

static void formats(void **state)
{
	static const struct {
		Audums__V1__Format format;
		const char *good[8];
		const char *bad[16];
	} cases[] = {
		{AUDUMS__V1__FORMAT__FORMAT_NAME,
			{"a", "lvrtc-1", "abcdefghijklmnopqrstuvwxyz01234"},
			{"", "A", "1a", "-a", "a-", "a_b", "a b", "rīga", "a.b",
				"abcdefghijklmnopqrstuvwxyz012345"}},
		{AUDUMS__V1__FORMAT__FORMAT_PORT_NAME, {"p1", "up0", "abcdefghij-234"},
			{"", "P1", "1p", "abcdefghijk-234", "p/1"}},
		{AUDUMS__V1__FORMAT__FORMAT_IPV4, {"10.0.0.1", "0.0.0.0", "255.255.255.255"},
			{"", "10.0.0", "10.0.0.256", "10.0.0.01", "10.0.0.1 ", "::1",
				"10.0.0.1/32"}},
		{AUDUMS__V1__FORMAT__FORMAT_IPV4_PREFIX, {"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32"},
			{"", "10.0.0.0", "10.0.0.1/24", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/",
				"10.0.0.0/-1", "10.0.0.0/8x", "::/0", "10.0.0.0/1000"}},
		{AUDUMS__V1__FORMAT__FORMAT_IP_PREFIX,
			{"10.0.0.0/8", "2001:db8::/32", "::/0", "fd20:0:0:1::/64"},
			{"", "2001:db8::1/64", "2001:db8::/129", "2001:db8::", "x/8",
				"2001:db8:::/32"}},
		{AUDUMS__V1__FORMAT__FORMAT_IP_INTERFACE, {"10.0.0.1/24", "2001:db8::1/64"},
			{"", "10.0.0.1", "10.0.0.1/33"}},
		{AUDUMS__V1__FORMAT__FORMAT_MAC, {"02:00:00:00:00:01", "aE:00:00:00:00:00"},
			{"", "01:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00",
				"02-00-00-00-00-01", "02:00:00:00:00", "02:00:00:00:00:0g",
				"02:00:00:00:00:01:"}},
		{AUDUMS__V1__FORMAT__FORMAT_LABEL_KEY, {"a", "audums.lv/role_x"},
			{"", "A", ".a", "a b", "0a"}},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (size_t k = 0; k < 8 && cases[i].good[k] != NULL; k++)
			assert_null(rules_format_check(cases[i].format, cases[i].good[k]));
		for (size_t k = 0; k < 16 && cases[i].bad[k] != NULL; k++)
			if (rules_format_check(cases[i].format, cases[i].bad[k]) == NULL)
				fail_msg("format %zu takes \"%s\"", i, cases[i].bad[k]);
	}
	assert_null(rules_format_check(AUDUMS__V1__FORMAT__FORMAT_UNSPECIFIED, "anything"));
}

/* A segment that breaks every rule there is, built as a hostile client would. */
static void every_rule(void **state)
{
	char long_text[300], bad_utf8[] = "a\xff", escape[] = "x\x1b[2J";
	Audums__V1__Label same1 = AUDUMS__V1__LABEL__INIT, same2 = AUDUMS__V1__LABEL__INIT;
	Audums__V1__Label *labels[2] = {&same1, &same2};
	char *sites[] = {"lvrtc", "lnb", "lvrtc", ""};
	Audums__V1__SegmentStatus status = AUDUMS__V1__SEGMENT_STATUS__INIT;
	Audums__V1__Segment s = AUDUMS__V1__SEGMENT__INIT;
	Audums__V1__Segment *segments[] = {&s};
	Audums__V1__Attachment a = AUDUMS__V1__ATTACHMENT__INIT;
	Audums__V1__Attachment *attachments[] = {&a};
	Audums__V1__Document d = AUDUMS__V1__DOCUMENT__INIT;
	struct problems p;

	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	same1.key = same2.key = "role";
	same1.value = bad_utf8;
	same2.value = long_text;
	s.name = "Registri";
	s.display_name = escape;
	s.labels = labels;
	s.n_labels = 2;
	s.sites = sites;
	s.n_sites = 4;
	s.vni = 16777216;
	s.mtu = 1279;
	s.generation = 4;
	s.status = &status;
	a.platform = (Audums__V1__Platform)77;
	a.name = a.provider = a.segment = a.node = "x";
	a.port = "p1";
	a.vlan = 4095;
	d.segments = segments;
	d.n_segments = 1;
	d.attachments = attachments;
	d.n_attachments = 1;
	problems_init(&p);
	assert_int_equal(rules_check(&d.base, "document", &p), 13);
	problems_expect(&p,
		"document.segments[0].name: is \"Registri\", expected a name: 1 to 31 of a-z, 0-9 and "
		"'-', a letter first, no '-' last\n"
		"document.segments[0].provider: is missing, but required\n"
		"document.segments[0].display_name: holds the control character U+001B, expected plain "
		"text\n"
		"document.segments[0].labels[0].value: is not UTF-8 from octet 2 on\n"
		"document.segments[0].labels[1].value: is 299 octets long, expected at most 255\n"
		"document.segments[0].labels[1].key: \"role\" is in the list twice (element 0)\n"
		"document.segments[0].tenant: is missing, but required\n"
		"document.segments[0].sites[3]: is empty, expected a text\n"
		"document.segments[0].sites[2]: \"lvrtc\" is in the list twice (element 0)\n"
		"document.segments[0].vni: is 16777216, expected a number from 1 to 16777215\n"
		"document.segments[0].mtu: is 1279, expected a number from 1280 to 9216\n"
		"document.attachments[0].vlan: is 4095, expected a number from 0 to 4094\n"
		"document.attachments[0].platform: is 77, expected bare, openstack, nutanix or vmware\n");
}

static void too_many_elements(void **state)
{
	char *ports[1025], text[1025][8];
	Audums__V1__Node n = AUDUMS__V1__NODE__INIT;
	struct problems p;

	for (unsigned i = 0; i < 1025; i++) {
		snprintf(text[i], sizeof(text[i]), "p%u", i);
		ports[i] = text[i];
	}
	n.name = n.provider = n.site = "x";
	n.access_ports = ports;
	n.n_access_ports = 1024;
	problems_init(&p);
	assert_int_equal(rules_check(&n.base, "", &p), 0);
	n.n_access_ports = 1025;
	assert_int_equal(rules_check(&n.base, "", &p), 1);
	problems_expect(&p, "access_ports: has 1025 elements, expected at most 1024\n");
}

static void an_object_may_have_its_status(void **state)
{
	Audums__V1__Site s = AUDUMS__V1__SITE__INIT;
	struct problems p;

	s.name = s.provider = "lvrtc";
	s.generation = 12;
	problems_init(&p);
	assert_int_equal(rules_check(&s.base, "", &p), 0);
	problems_free(&p);
}

/* Where something was wrong already, and beneath it, nothing is said again. */
static void nothing_is_said_twice(void **state)
{
	Audums__V1__Link l = AUDUMS__V1__LINK__INIT;
	Audums__V1__LinkEnd a = AUDUMS__V1__LINK_END__INIT;
	struct problems p;

	l.name = l.provider = "x";
	l.a = &a;
	problems_init(&p);
	problems_add(&p, "a", "its form is wrong");
	assert_int_equal(rules_check(&l.base, "", &p), 1);
	problems_expect(&p, "a: its form is wrong\nb: is missing, but required\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_are_found),
		cmocka_unit_test(schema_keeps_its_promises),
		cmocka_unit_test(formats),
		cmocka_unit_test(every_rule),
		cmocka_unit_test(too_many_elements),
		cmocka_unit_test(an_object_may_have_its_status),
		cmocka_unit_test(nothing_is_said_twice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
