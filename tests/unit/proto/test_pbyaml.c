/* Loading YAML: each class of error with its exact text, the forms that are taken, and the bounds.
 */
#include "tests/unit/proto/test.h"

#include <errno.h>
#include <unistd.h>

#include "audums/v1/fabric.pb-c.h"
#include "proto/lib/pbyaml.h"
#include "proto/lib/strbuf.h"

#define DOCUMENT &audums__v1__document__descriptor

/* Load `yaml` as a message of `descriptor`, expecting `err` and exactly these lines. */
static void golden(const ProtobufCMessageDescriptor *descriptor, const char *yaml, int err,
	const char *expected)
{
	ProtobufCMessage *m = NULL;
	struct problems p;

	problems_init(&p);
	assert_int_equal(
		pbyaml_load_text(descriptor, &m, "t.yaml", yaml, strlen(yaml), NULL, &p), err);
	problems_sort(&p);
	problems_expect(&p, expected);
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

static Audums__V1__Document *load(const char *yaml, struct locations *locations)
{
	ProtobufCMessage *m = NULL;
	struct problems p;

	problems_init(&p);
	if (pbyaml_load_text(DOCUMENT, &m, "t.yaml", yaml, strlen(yaml), locations, &p) < 0)
		problems_expect(&p, "");
	return (Audums__V1__Document *)m;
}

static void values_arrive(void **state)
{
	Audums__V1__Document *d = load("# a comment\n"
				       "segments:\n"
				       "- name: registri\n"
				       "  display_name: 'Nodokļu reģistri — ķīļi'\n"
				       "  vni: 10001\n"
				       "  sites: [lvrtc, \"lnb\"]\n"
				       "  subnets:\n"
				       "  - 10.0.0.0/24\n"
				       "  - fd00::/64\n"
				       "  labels:\n"
				       "  - {key: tier, value: 1}\n"
				       "  - key: empty\n"
				       "    value:\n"
				       "attachments:\n"
				       "- {name: a, platform: openstack, vlan: 0}\n"
				       "- {name: b, platform: PLATFORM_VMWARE}\n"
				       "- {name: c, platform: Nutanix}\n"
				       "- {name: d, platform: platform_bare}\n"
				       "- {name: e, platform: \"bare\"}\n"
				       "tenants:\n"
				       "sites: []\n",
		NULL);

	assert_int_equal(d->n_segments, 1);
	assert_string_equal(d->segments[0]->name, "registri");
	assert_string_equal(d->segments[0]->display_name, "Nodokļu reģistri — ķīļi");
	assert_int_equal(d->segments[0]->vni, 10001);
	assert_int_equal(d->segments[0]->n_sites, 2);
	assert_string_equal(d->segments[0]->sites[1], "lnb");
	assert_string_equal(d->segments[0]->subnets[1], "fd00::/64");
	assert_string_equal(d->segments[0]->labels[0]->value, "1"); /* a text, as its field says */
	assert_string_equal(d->segments[0]->labels[1]->value, "");
	assert_int_equal(d->n_attachments, 5);
	assert_int_equal(d->attachments[0]->platform, AUDUMS__V1__PLATFORM__PLATFORM_OPENSTACK);
	assert_int_equal(d->attachments[1]->platform, AUDUMS__V1__PLATFORM__PLATFORM_VMWARE);
	assert_int_equal(d->attachments[2]->platform, AUDUMS__V1__PLATFORM__PLATFORM_NUTANIX);
	assert_int_equal(d->attachments[3]->platform, AUDUMS__V1__PLATFORM__PLATFORM_BARE);
	assert_int_equal(d->n_tenants, 0);
	assert_int_equal(d->n_sites, 0);
	audums__v1__document__free_unpacked(d, NULL);
}

static void nothing_is_an_empty_message(void **state)
{
	static const char *const texts[] = {
		"", "\n# only a comment\n", "---\n", "--- {}\n", "null"};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		Audums__V1__Document *d = load(texts[i], NULL);

		assert_non_null(d);
		assert_int_equal(d->n_sites, 0);
		audums__v1__document__free_unpacked(d, NULL);
	}
}

static void several_documents_are_one(void **state)
{
	Audums__V1__Document *d = load("sites: [{name: a}]\n---\nsites: [{name: b}]\n...\n---\n"
				       "nodes: [{name: n}]\nsites: [{name: c}]\n",
		NULL);

	assert_int_equal(d->n_sites, 3);
	assert_string_equal(d->sites[2]->name, "c");
	assert_int_equal(d->n_nodes, 1);
	audums__v1__document__free_unpacked(d, NULL);
	golden(&audums__v1__site__descriptor, "name: a\n---\nname: b\n", -EINVAL,
		"t.yaml:3:7: name: is given in an earlier document already\n");
}

static void places_are_kept(void **state)
{
	struct locations *l = locations_create();
	Audums__V1__Document *d = load("sites:\n- name: ā\n  provider: x\n---\nsites:\n"
				       "- {location: Rīga, name: b}\n",
		l);
	static const struct {
		const char *path;
		unsigned line, column;
	} cases[] = {{"", 1, 1}, {"sites", 2, 1}, {"sites[0]", 2, 3}, {"sites[0].name", 2, 9},
		{"sites[0].provider", 3, 13}, {"sites[1]", 6, 3}, {"sites[1].location", 6, 14},
		{"sites[1].name", 6, 26}};
	const char *file;
	unsigned line, column;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_true(locations_find(l, cases[i].path, &file, &line, &column));
		assert_int_equal(line, cases[i].line);
		assert_int_equal(column, cases[i].column);
		assert_string_equal(file, "t.yaml");
	}
	audums__v1__document__free_unpacked(d, NULL);
	locations_destroy(l);
}

static void unknown_fields(void **state)
{
	golden(DOCUMENT,
		"segments:\n"
		"- nmae: a\n"
		"  displayName: b\n"
		"  display-name: c\n"
		"  sitess: []\n"
		"  colour: red\n"
		"linkz: []\n",
		-EINVAL,
		"t.yaml:2:3: segments[0].nmae: unknown field, did you mean \"name\"?\n"
		"t.yaml:3:3: segments[0].displayName: unknown field, did you mean \"display_name\"?\n"
		"t.yaml:4:3: segments[0].display-name: unknown field, did you mean \"display_name\"?\n"
		"t.yaml:5:3: segments[0].sitess: unknown field, did you mean \"sites\"?\n"
		"t.yaml:6:3: segments[0].colour: unknown field, expected one of name, provider, "
		"display_name, labels, tenant, sites, vni, mtu, subnets\n"
		"t.yaml:7:1: linkz: unknown field, did you mean \"links\"?\n");
}

static void wrong_types(void **state)
{
	golden(DOCUMENT,
		"sites: lvrtc\n"
		"nodes:\n"
		"- lvrtc1\n"
		"- name: [a]\n"
		"  access_ports: {p1: x}\n"
		"  asn: many\n"
		"- name: {a: b}\n"
		"  labels: [x]\n"
		"links:\n"
		"- a: [lvrtc1, up0]\n"
		"  b: up0\n"
		"segments: {name: x}\n"
		"tenants:\n"
		"- \n"
		"attachments:\n"
		"- platform: [bare]\n",
		-EINVAL,
		"t.yaml:1:8: sites: expected a list, got \"lvrtc\"\n"
		"t.yaml:3:3: nodes[0]: expected a map with the fields of Node, got \"lvrtc1\"\n"
		"t.yaml:4:9: nodes[1].name: expected a text, got a list\n"
		"t.yaml:5:17: nodes[1].access_ports: expected a list, got a map\n"
		"t.yaml:6:8: nodes[1].asn: expected a whole number from 0 to 4294967295, got "
		"\"many\"\n"
		"t.yaml:7:9: nodes[2].name: expected a text, got a map\n"
		"t.yaml:8:12: nodes[2].labels[0]: expected a map with the fields of Label, got \"x\"\n"
		"t.yaml:10:6: links[0].a: expected a map with the fields of LinkEnd, got a list\n"
		"t.yaml:11:6: links[0].b: expected a map with the fields of LinkEnd, got \"up0\"\n"
		"t.yaml:12:11: segments: expected a list, got a map\n"
		"t.yaml:14:2: tenants[0]: expected a map with the fields of Tenant, got nothing\n"
		"t.yaml:16:13: attachments[0].platform: expected bare, openstack, nutanix or vmware, "
		"got a list\n");
	golden(DOCUMENT, "- a\n", -EINVAL,
		"t.yaml:1:1: expected a map with the fields of Document, got a list\n");
	golden(DOCUMENT, "just text", -EINVAL,
		"t.yaml:1:1: expected a map with the fields of Document, got \"just text\"\n");
	golden(DOCUMENT, "segments:\n- sites:\n  - a\n  -\n  - ~\n", -EINVAL,
		"t.yaml:4:4: segments[0].sites[1]: expected a value, got nothing\n"
		"t.yaml:5:5: segments[0].sites[2]: expected a value, got nothing\n");
	golden(DOCUMENT, "[a]: b\n", -EINVAL,
		"t.yaml:1:1: expected the name of a field, got a list\n");
}

static void numbers(void **state)
{
	golden(DOCUMENT,
		"segments:\n"
		"- {vni: 4294967295}\n"
		"- {vni: 4294967296}\n"
		"- {vni: -1}\n"
		"- {vni: 1.5}\n"
		"- {vni: 0x10}\n"
		"- {vni: 010}\n"
		"- {vni: 1_000}\n"
		"- {vni: 1e3}\n"
		"- {vni: \"100\"}\n"
		"- {vni: true}\n"
		"- {vni: 99999999999999999999999}\n"
		"- {vni: -}\n",
		-EINVAL,
		"t.yaml:3:9: segments[1].vni: expected a whole number from 0 to 4294967295, got "
		"\"4294967296\"\n"
		"t.yaml:4:9: segments[2].vni: expected a whole number from 0 to 4294967295, got \"-1\"\n"
		"t.yaml:5:9: segments[3].vni: expected a whole number from 0 to 4294967295, got "
		"\"1.5\"\n"
		"t.yaml:6:9: segments[4].vni: expected a whole number from 0 to 4294967295, got "
		"\"0x10\"\n"
		"t.yaml:7:9: segments[5].vni: expected a whole number from 0 to 4294967295, got "
		"\"010\"\n"
		"t.yaml:8:9: segments[6].vni: expected a whole number from 0 to 4294967295, got "
		"\"1_000\"\n"
		"t.yaml:9:9: segments[7].vni: expected a whole number from 0 to 4294967295, got "
		"\"1e3\"\n"
		"t.yaml:10:9: segments[8].vni: expected a number without quotes, got the text "
		"\"100\"\n"
		"t.yaml:11:9: segments[9].vni: expected a whole number from 0 to 4294967295, got "
		"\"true\"\n"
		"t.yaml:12:9: segments[10].vni: expected a whole number from 0 to 4294967295, got "
		"\"99999999999999999999999\"\n"
		"t.yaml:13:9: segments[11].vni: expected a whole number from 0 to 4294967295, got "
		"\"-\"\n");
	golden(&audums__v1__status_details__descriptor, "code: -2147483648\n", 0, "");
	golden(&audums__v1__status_details__descriptor, "code: 2147483648\n", -EINVAL,
		"t.yaml:1:7: code: expected a whole number from -2147483648 to 2147483647, got "
		"\"2147483648\"\n");
	golden(&audums__v1__operation__descriptor, "generation: 18446744073709551615\n", 0, "");
	golden(&audums__v1__operation__descriptor, "generation: 18446744073709551616\n", -EINVAL,
		"t.yaml:1:13: generation: expected a whole number from 0 to 18446744073709551615, got "
		"\"18446744073709551616\"\n");
}

static void words(void **state)
{
	golden(&audums__v1__dataplane_info__descriptor, "synced: True\n", 0, "");
	golden(&audums__v1__dataplane_info__descriptor, "synced: yes\n", -EINVAL,
		"t.yaml:1:9: synced: expected true or false, got \"yes\"\n");
	golden(&audums__v1__dataplane_info__descriptor, "synced: \"true\"\n", -EINVAL,
		"t.yaml:1:9: synced: expected true or false, got the text \"true\"\n");
	golden(DOCUMENT, "attachments: [{platform: cisco}]\n", -EINVAL,
		"t.yaml:1:26: attachments[0].platform: expected bare, openstack, nutanix or vmware, got "
		"\"cisco\"\n");
	golden(DOCUMENT, "attachments: [{platform: 2}]\n", -EINVAL,
		"t.yaml:1:26: attachments[0].platform: expected bare, openstack, nutanix or vmware, got "
		"\"2\"\n");
	golden(&audums__v1__traced_packet__descriptor, "head: AAEC/w==\n", 0, "");
	golden(&audums__v1__traced_packet__descriptor, "head: 000102\n", -EINVAL,
		"t.yaml:1:7: head: expected base64 with padding, got \"000102\"\n");
	golden(DOCUMENT, "sites: [{name: \"a\\0b\"}]\n", -EINVAL,
		"t.yaml:1:16: sites[0].name: expected a text without NUL characters, got the text "
		"\"a?b\"\n");
}

static void twice_and_together(void **state)
{
	golden(DOCUMENT, "sites:\n- name: a\n  provider: x\n  name: b\nsites: []\n", -EINVAL,
		"t.yaml:4:3: sites[0].name: is given twice, first in line 2\n"
		"t.yaml:5:1: sites: is given twice, first in line 1\n");
	golden(&audums__v1__dataplane_request__descriptor, "info: {}\nfdb: {vni: 3}\n", -EINVAL,
		"t.yaml:2:6: fdb: can't be given together with \"info\"\n");
	golden(&audums__v1__dataplane_request__descriptor, "fdb: {vni: 3}\n", 0, "");
}

static void output_only(void **state)
{
	golden(DOCUMENT, "nodes:\n- name: a\n  generation: 3\n  status: {phase: ready}\n  site: b\n", 0, "");
	golden(DOCUMENT, "nodes:\n- name: a\n  status: {}\n  status: {}\n", -EINVAL,
		"t.yaml:4:3: nodes[0].status: is given twice, first in line 3\n");
}

static void syntax(void **state)
{
	golden(DOCUMENT, "sites:\n- name: a\n provider: b\n", -EBADMSG,
		"t.yaml:3:2: YAML syntax: did not find expected key while parsing a block mapping that "
		"starts in line 1\n");
	golden(DOCUMENT, "sites: [a, b\nnodes: c\n", -EBADMSG,
		"t.yaml:1:9: sites[0]: expected a map with the fields of Site, got \"a\"\n"
		"t.yaml:1:12: sites[1]: expected a map with the fields of Site, got \"b nodes\"\n"
		"t.yaml:2:6: YAML syntax: did not find expected ',' or ']' while parsing a flow sequence "
		"that starts in line 1\n");
	golden(DOCUMENT, "sites:\n\t- name: a\n", -EBADMSG,
		"t.yaml:2:1: YAML syntax: a tab can't indent, use blanks\n");
	golden(DOCUMENT, "sites: \"abc\n", -EBADMSG,
		"t.yaml:2:1: YAML syntax: found unexpected end of stream while scanning a quoted scalar "
		"that starts in line 1\n");
	golden(DOCUMENT, "a\x01", -EBADMSG,
		"t.yaml:1:2: YAML syntax: control characters are not allowed\n");
	golden(DOCUMENT, "sites:\n- name: R\xc4\xabg\xff\n", -EBADMSG,
		"t.yaml:2:12: is not UTF-8 from here on\n");
	golden(DOCUMENT, "%YAML 9.9\n---\nsites: []\n", -EBADMSG,
		"t.yaml:1:1: YAML syntax: found incompatible YAML document\n");
}

/* What stands before the text breaks off is judged too. */
static void errors_before_the_break(void **state)
{
	golden(DOCUMENT, "sites:\n- nmae: a\nnodes: ]\n", -EBADMSG,
		"t.yaml:2:3: sites[0].nmae: unknown field, did you mean \"name\"?\n"
		"t.yaml:3:8: YAML syntax: did not find expected node content while parsing a block "
		"node\n");
}

static void aliases_and_tags(void **state)
{
	golden(DOCUMENT, "sites:\n- &a {name: x}\n- *a\n", -EINVAL,
		"t.yaml:3:3: sites[1]: aliases are not supported: write the value out\n");
	golden(DOCUMENT, "sites:\n- name: !!str x\n- !site {name: y}\n", -EINVAL,
		"t.yaml:2:9: sites[0].name: tags are not supported: write the value without \"!\"\n"
		"t.yaml:3:3: sites[1]: tags are not supported: write the value without \"!\"\n");
	/* the classic bomb: nothing is expanded, every alias is named */
	golden(DOCUMENT, "sites: &a [x, x]\nnodes: &b [*a, *a]\nlinks: [*b, *b]\n", -EINVAL,
		"t.yaml:1:12: sites[0]: expected a map with the fields of Site, got \"x\"\n"
		"t.yaml:1:15: sites[1]: expected a map with the fields of Site, got \"x\"\n"
		"t.yaml:2:12: nodes[0]: aliases are not supported: write the value out\n"
		"t.yaml:2:16: nodes[1]: aliases are not supported: write the value out\n"
		"t.yaml:3:9: links[0]: aliases are not supported: write the value out\n"
		"t.yaml:3:13: links[1]: aliases are not supported: write the value out\n");
}

static void strange_keys_are_safe_to_print(void **state)
{
	golden(DOCUMENT,
		"\"a\\eb\": 1\n"
		"0123456789012345678901234567890123456789012345678901234567890123456789: 1\n"
		"\"\": 1\n",
		-EINVAL,
		"t.yaml:1:1: a?b: unknown field, expected one of providers, sites, nodes, links, "
		"tenants, segments, attachments\n"
		"t.yaml:2:1: 0123456789012345678901234567890123456789...: unknown field, expected one of "
		"providers, sites, nodes, links, tenants, segments, attachments\n"
		"t.yaml:3:1: unknown field, expected one of providers, sites, nodes, links, tenants, "
		"segments, attachments\n");
}

static void depth_is_bounded(void **state)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_add_text(&b, "sites: ");
	strbuf_add_repeat(&b, '[', 31);
	strbuf_add_repeat(&b, ']', 31);
	golden(DOCUMENT, strbuf_text(&b), -EINVAL,
		"t.yaml:1:9: sites[0]: expected a map with the fields of Site, got a list\n");
	strbuf_cut(&b, 7);
	strbuf_add_repeat(&b, '[', 100000);
	golden(DOCUMENT, strbuf_text(&b), -EBADMSG,
		"t.yaml:1:9: sites[0]: expected a map with the fields of Site, got a list\n"
		"t.yaml:1:39: nested too deeply, expected at most 32 levels\n");
	strbuf_free(&b);
}

static void size_is_bounded(void **state)
{
	struct strbuf b = STRBUF_INIT;

	strbuf_add_repeat(&b, ' ', PBYAML_MAX_BYTES + 1);
	golden(DOCUMENT, strbuf_text(&b), -EBADMSG,
		"t.yaml: is larger than 16 MiB, the most this program accepts\n");
	strbuf_free(&b);
}

static void nodes_are_bounded(void **state)
{
	struct strbuf b = STRBUF_INIT;
	struct problems p;
	ProtobufCMessage *m = NULL;
	char *text;

	strbuf_add_text(&b, "sites: [");
	for (unsigned i = 0; i < PBYAML_MAX_NODES; i++)
		strbuf_add_text(&b, "{},");
	problems_init(&p);
	assert_int_equal(
		pbyaml_load_text(DOCUMENT, &m, "t.yaml", b.text, b.len, NULL, &p), -EBADMSG);
	text = problems_text(&p);
	assert_string_equal(text,
		"t.yaml:1:3145728: too large: more values than this program accepts "
		"(1048576)\n");
	free(text);
	problems_free(&p);
	protobuf_c_message_free_unpacked(m, NULL);
	strbuf_free(&b);
}

static void errors_are_bounded(void **state)
{
	struct strbuf b = STRBUF_INIT;
	struct problems p;
	ProtobufCMessage *m = NULL;

	for (unsigned i = 0; i < 1000; i++)
		strbuf_printf(&b, "sitex%u: 1\n", i);
	problems_init(&p);
	assert_int_equal(
		pbyaml_load_text(DOCUMENT, &m, "t.yaml", b.text, b.len, NULL, &p), -EINVAL);
	assert_int_equal(p.n_items, PROBLEMS_MAX);
	assert_int_equal(p.n_dropped, 900);
	problems_free(&p);
	protobuf_c_message_free_unpacked(m, NULL);
	strbuf_free(&b);
}

static void files(void **state)
{
	char path[64];
	ProtobufCMessage *m = NULL;
	struct problems p;
	FILE *f;

	snprintf(path, sizeof(path), "/tmp/schema-test-%d.yaml", (int)getpid());
	f = fopen(path, "w");
	assert_non_null(f);
	fputs("sites: [{name: a}]\n", f);
	fclose(f);
	problems_init(&p);
	assert_int_equal(pbyaml_load_file(DOCUMENT, &m, path, NULL, &p), 0);
	assert_int_equal(pbyaml_load_file(DOCUMENT, &m, path, NULL, &p), 0);
	assert_int_equal(((Audums__V1__Document *)m)->n_sites, 2);
	unlink(path);
	assert_int_equal(pbyaml_load_file(DOCUMENT, &m, "/nowhere/x.yaml", NULL, &p), -EBADMSG);
	assert_int_equal(pbyaml_load_file(DOCUMENT, &m, "/tmp", NULL, &p), -EBADMSG);
	problems_expect(&p, "/nowhere/x.yaml: can't be read: No such file or directory\n"
			    "/tmp: can't be read: Is a directory\n");
	protobuf_c_message_free_unpacked(m, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_arrive),
		cmocka_unit_test(nothing_is_an_empty_message),
		cmocka_unit_test(several_documents_are_one),
		cmocka_unit_test(places_are_kept),
		cmocka_unit_test(unknown_fields),
		cmocka_unit_test(wrong_types),
		cmocka_unit_test(numbers),
		cmocka_unit_test(words),
		cmocka_unit_test(twice_and_together),
		cmocka_unit_test(output_only),
		cmocka_unit_test(syntax),
		cmocka_unit_test(errors_before_the_break),
		cmocka_unit_test(aliases_and_tags),
		cmocka_unit_test(strange_keys_are_safe_to_print),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(size_is_bounded),
		cmocka_unit_test(nodes_are_bounded),
		cmocka_unit_test(errors_are_bounded),
		cmocka_unit_test(files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
