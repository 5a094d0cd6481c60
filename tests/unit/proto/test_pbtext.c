/* Printing and reading back: YAML -> message -> JSON -> message -> YAML, defaults, texts of every
 * kind, and JSON's own errors. */
#include "tests/unit/proto/test.h"

#include <errno.h>

#include "audums/v1/fabric.pb-c.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/pbyaml.h"

static ProtobufCMessage *from_yaml(const ProtobufCMessageDescriptor *descriptor, const char *yaml)
{
	ProtobufCMessage *m = NULL;
	struct problems p;

	problems_init(&p);
	pbyaml_load_text(descriptor, &m, "t.yaml", yaml, strlen(yaml), NULL, &p);
	problems_expect(&p, "");
	return m;
}

static ProtobufCMessage *from_json(const ProtobufCMessageDescriptor *descriptor, const char *json)
{
	ProtobufCMessage *m;
	struct problems p;

	problems_init(&p);
	pbtext_parse_json(descriptor, &m, "t.json", json, strlen(json), &p);
	problems_expect(&p, "");
	return m;
}

static void print_expect(const ProtobufCMessage *m, enum pbtext_format format, const char *expected)
{
	char *text;
	size_t len;

	assert_int_equal(pbtext_print(m, format, &text, &len), 0);
	assert_string_equal(text, expected);
	assert_int_equal(len, strlen(expected));
	free(text);
}

static const char registry_yaml[] = "segments:\n"
				    "- name: registri\n"
				    "  provider: lvrtc\n"
				    "  display_name: Nodokļu reģistri\n"
				    "  labels:\n"
				    "  - key: tier\n"
				    "    value: \"1\"\n"
				    "  sites:\n"
				    "  - lvrtc\n"
				    "  - lnb\n"
				    "  vni: 10001\n"
				    "  subnets:\n"
				    "  - 10.20.0.0/24\n"
				    "  - \"fd20::/64\"\n"
				    "attachments:\n"
				    "- name: a\n"
				    "  platform: openstack\n";

static void round_trip(void **state)
{
	ProtobufCMessage *m = from_yaml(&audums__v1__document__descriptor, registry_yaml), *back;
	char *json;

	print_expect(m, PBTEXT_YAML, registry_yaml);
	print_expect(m, PBTEXT_JSON,
		"{\"segments\":[{\"name\":\"registri\",\"provider\":\"lvrtc\",\"display_name\":\"Nodokļu "
		"reģistri\",\"labels\":[{\"key\":\"tier\",\"value\":\"1\"}],\"sites\":[\"lvrtc\","
		"\"lnb\"],\"vni\":10001,\"subnets\":[\"10.20.0.0/24\",\"fd20::/64\"]}],"
		"\"attachments\":[{\"name\":\"a\",\"platform\":\"openstack\"}]}");
	assert_int_equal(pbtext_print(m, PBTEXT_JSON_PRETTY, &json, NULL), 0);
	back = from_json(&audums__v1__document__descriptor, json);
	print_expect(back, PBTEXT_YAML, registry_yaml);
	free(json);
	protobuf_c_message_free_unpacked(m, NULL);
	protobuf_c_message_free_unpacked(back, NULL);
}

static void pretty_json(void **state)
{
	ProtobufCMessage *m = from_yaml(&audums__v1__document__descriptor,
		"nodes: [{name: a, access_ports: [p1, p2]}]\nlinks: [{a: {}}]\n");

	print_expect(m, PBTEXT_JSON_PRETTY,
		"{\n"
		"  \"nodes\": [\n"
		"    {\n"
		"      \"name\": \"a\",\n"
		"      \"access_ports\": [\n"
		"        \"p1\",\n"
		"        \"p2\"\n"
		"      ]\n"
		"    }\n"
		"  ],\n"
		"  \"links\": [\n"
		"    {\n"
		"      \"a\": {}\n"
		"    }\n"
		"  ]\n"
		"}\n");
	protobuf_c_message_free_unpacked(m, NULL);
}

static void nothing_and_defaults(void **state)
{
	ProtobufCMessage *m = from_yaml(&audums__v1__document__descriptor, "sites: [{}]\n");
	Audums__V1__Document none = AUDUMS__V1__DOCUMENT__INIT;

	print_expect(&none.base, PBTEXT_YAML, "{}\n");
	print_expect(&none.base, PBTEXT_JSON, "{}");
	print_expect(&none.base, PBTEXT_JSON_PRETTY, "{}\n");
	print_expect(m, PBTEXT_YAML, "sites:\n- {}\n");
	print_expect(m, PBTEXT_JSON, "{\"sites\":[{}]}");
	protobuf_c_message_free_unpacked(m, NULL);
}

static void every_type(void **state)
{
	static const struct {
		const ProtobufCMessageDescriptor *descriptor;
		const char *yaml, *json;
	} cases[] = {
		{&audums__v1__status_details__descriptor,
			"code: -5\nmessage: x\ndetails:\n- type_url: t\n  value: \"AAH/\"\n",
			"{\"code\":-5,\"message\":\"x\",\"details\":[{\"type_url\":\"t\",\"value\":"
			"\"AAH/\"}]}"},
		{&audums__v1__dataplane_info__descriptor,
			"uptime_ms: 9223372036854775807\nsynced: true\n",
			"{\"uptime_ms\":9223372036854775807,\"synced\":true}"},
		{&audums__v1__dataplane_request__descriptor, "fdb:\n  vni: 7\n",
			"{\"fdb\":{\"vni\":7}}"},
		{&audums__v1__dataplane_request__descriptor, "info: {}\n", "{\"info\":{}}"},
		{&audums__v1__watch_request__descriptor, "kinds:\n- node\n- segment\nname: x\n",
			"{\"kinds\":[\"node\",\"segment\"],\"name\":\"x\"}"},
		{&audums__v1__change__descriptor,
			"action: delete\nobject:\n  kind: link\n  name: l\n",
			"{\"action\":\"delete\",\"object\":{\"kind\":\"link\",\"name\":\"l\"}}"},
		{&audums__v1__segment_node_status__descriptor, "node: a\nstate: applied\n",
			"{\"node\":\"a\",\"state\":\"applied\"}"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ProtobufCMessage *a = from_yaml(cases[i].descriptor, cases[i].yaml);
		ProtobufCMessage *b = from_json(cases[i].descriptor, cases[i].json);

		print_expect(a, PBTEXT_YAML, cases[i].yaml);
		print_expect(a, PBTEXT_JSON, cases[i].json);
		print_expect(b, PBTEXT_YAML, cases[i].yaml);
		protobuf_c_message_free_unpacked(a, NULL);
		protobuf_c_message_free_unpacked(b, NULL);
	}
}

/* Texts that YAML readers like to take for something else come back as they were. */
static void texts_survive(void **state)
{
	static const char *const texts[] = {"plain", "two words", "Rīga, Zaķusala", "ķīlis", "null",
		"~", "true", "No", "on", "1", "1.5", "10.0.0.1", "10.0.0.0/24", "-", "- a", "a: b",
		"a #b", "#a", " a", "a ", "a\nb", "\ta", "\"", "'", "\\", "{a}", "[a]", "a,b", "&a",
		"*a", "!a", "%a", "@a", "`a", "|", ">", "?", "0x1f", "1e3", "1:20", "2026-11-24",
		"\x1b[31m", "\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xf0\x9f\x98\x80", ".inf",
		"=", "<<", "---", "...", "y"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		Audums__V1__Site s = AUDUMS__V1__SITE__INIT;
		ProtobufCMessage *back;
		char *text;

		s.display_name = (char *)texts[i];
		assert_int_equal(pbtext_print(&s.base, PBTEXT_YAML, &text, NULL), 0);
		back = from_yaml(&audums__v1__site__descriptor, text);
		assert_string_equal(((Audums__V1__Site *)back)->display_name, texts[i]);
		free(text);
		protobuf_c_message_free_unpacked(back, NULL);
		assert_int_equal(pbtext_print(&s.base, PBTEXT_JSON, &text, NULL), 0);
		for (const char *c = text; *c; c++)
			assert_true((unsigned char)*c >= 0x20 && *c != 0x7f);
		back = from_json(&audums__v1__site__descriptor, text);
		assert_string_equal(((Audums__V1__Site *)back)->display_name, texts[i]);
		free(text);
		protobuf_c_message_free_unpacked(back, NULL);
	}
}

static void no_utf8_is_still_printed(void **state)
{
	char bad[] = "a\xff"
		     "b";
	Audums__V1__Site s = AUDUMS__V1__SITE__INIT;

	s.display_name = bad;
	print_expect(&s.base, PBTEXT_YAML, "display_name: \"a\\ufffdb\"\n");
	print_expect(&s.base, PBTEXT_JSON, "{\"display_name\":\"a\\ufffdb\"}");
}

static void unknown_enum_value(void **state)
{
	Audums__V1__Attachment a = AUDUMS__V1__ATTACHMENT__INIT;
	char buf[32], small[4];

	a.platform = (Audums__V1__Platform)77;
	print_expect(&a.base, PBTEXT_JSON, "{\"platform\":\"77\"}");
	assert_string_equal(pbtext_enum_name(&audums__v1__phase__descriptor,
				    AUDUMS__V1__PHASE__PHASE_READY, buf, sizeof(buf)),
		"ready");
	assert_string_equal(pbtext_enum_name(&audums__v1__phase__descriptor,
				    AUDUMS__V1__PHASE__PHASE_READY, small, sizeof(small)),
		"rea");
}

static void one_field_on_one_line(void **state)
{
	static const struct {
		const char *field, *text;
	} cases[] = {{"name", "registri"}, {"labels", "[{key: tier, value: \"1\"}]"},
		{"sites", "[lvrtc, lnb]"}, {"vni", "10001"}, {"mtu", ""},
		{"subnets", "[10.20.0.0/24, \"fd20::/64\"]"}};
	ProtobufCMessage *m = from_yaml(&audums__v1__document__descriptor, registry_yaml);
	const ProtobufCMessage *s = &((Audums__V1__Document *)m)->segments[0]->base;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char *text;

		assert_int_equal(pbtext_print_field(s,
					 protobuf_c_message_descriptor_get_field_by_name(
						 s->descriptor, cases[i].field),
					 &text),
			0);
		assert_string_equal(text, cases[i].text);
		free(text);
	}
	protobuf_c_message_free_unpacked(m, NULL);
}

static void json_error(const char *json, const char *expected)
{
	ProtobufCMessage *m;
	struct problems p;

	problems_init(&p);
	assert_int_equal(pbtext_parse_json(&audums__v1__document__descriptor, &m, "t.json", json,
				 strlen(json), &p),
		-EINVAL);
	assert_null(m);
	problems_expect(&p, expected);
}

static void json_errors(void **state)
{
	char deep[200] = "{\"sites\":";

	json_error("{\"sites\":[{\"nmae\":1,\"name\":{}}],\"segments\":[{\"vni\":-1},{\"vni\":1.5},"
		   "{\"vni\":\"3\"},{\"generation\":\"not taken\"}]}",
		"t.json: sites[0].nmae: unknown field, did you mean \"name\"?\n"
		"t.json: sites[0].name: expected a text, got a map\n"
		"t.json: segments[0].vni: expected a whole number from 0 to 4294967295, got \"-1\"\n"
		"t.json: segments[1].vni: expected a whole number from 0 to 4294967295, got \"1.5\"\n"
		"t.json: segments[2].vni: expected a number without quotes, got the text \"3\"\n");
	json_error(
		"{\n  \"sites\": [,]\n}", "t.json:2:13: JSON syntax: unexpected token near ','\n");
	json_error("{\"sites\":[],\"sites\":[]}",
		"t.json:1:19: JSON syntax: duplicate object key near '\"sites\"'\n");
	json_error("", "t.json:1:1: JSON syntax: unexpected token near end of file\n");
	json_error("[]", "t.json: expected a map with the fields of Document, got a list\n");
	json_error("{\"sites\":[{\"name\":\"a\\u0000b\"}]}",
		"t.json: sites[0].name: expected a text without NUL characters, got the text "
		"\"a?b\"\n");
	memset(deep + 9, '[', 100);
	json_error(
		deep, "t.json: too large, expected at most 16 MiB, 1048576 values and 32 levels\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(pretty_json),
		cmocka_unit_test(nothing_and_defaults),
		cmocka_unit_test(every_type),
		cmocka_unit_test(texts_survive),
		cmocka_unit_test(no_utf8_is_still_printed),
		cmocka_unit_test(unknown_enum_value),
		cmocka_unit_test(one_field_on_one_line),
		cmocka_unit_test(json_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
