/* Objects whatever their kind: names, references, copies, comparison, documents. */
#include "tests/unit/proto/test.h"

#include <errno.h>

#include "topology/object.h"

static void kinds(void **state)
{
	for (Audums__V1__Kind k = KIND_FIRST; k <= KIND_LAST; k++) {
		ProtobufCMessage *m = malloc(kind_descriptor(k)->sizeof_message);

		protobuf_c_message_init(kind_descriptor(k), m);
		assert_int_equal(object_kind(m), k);
		assert_int_equal(kind_parse(kind_name(k)), k);
		assert_int_equal(kind_parse(kind_plural(k)), k);
		/* every kind has what all objects have */
		object_set_generation(m, 7);
		assert_int_equal(object_generation(m), 7);
		assert_string_equal(object_name(m), "");
		assert_string_equal(object_provider(m), "");
		assert_string_equal(object_display_name(m), "");
		protobuf_c_message_free_unpacked(m, NULL);
	}
	assert_int_equal(kind_parse("thing"), AUDUMS__V1__KIND__KIND_UNSPECIFIED);
	assert_int_equal(kind_parse(""), AUDUMS__V1__KIND__KIND_UNSPECIFIED);
	assert_string_equal(kind_name(99), "?");
	assert_null(kind_descriptor(99));
}

static void references_in_text(void **state)
{
	static const char *const bad[] = {"", "segment", "segment/", "/x", "thing/x", "segment/X",
		"segment/a/b", "a-kind-with-a-name-that-is-far-too-long/x"};
	Audums__V1__Kind kind;
	const char *name;

	assert_int_equal(object_ref_parse("segment/registri", &kind, &name), 0);
	assert_int_equal(kind, AUDUMS__V1__KIND__KIND_SEGMENT);
	assert_string_equal(name, "registri");
	assert_int_equal(object_ref_parse("nodes/lnb1", &kind, &name), 0);
	assert_int_equal(kind, AUDUMS__V1__KIND__KIND_NODE);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(object_ref_parse(bad[i], &kind, &name), -EINVAL);
}

static void copies_and_differences(void **state)
{
	char *sites[] = {"lvrtc", "lnb"}, *other_sites[] = {"lnb", "lvrtc"};
	Audums__V1__SegmentStatus status = AUDUMS__V1__SEGMENT_STATUS__INIT;
	Audums__V1__Label label = AUDUMS__V1__LABEL__INIT, *labels[] = {&label};
	Audums__V1__Segment a = AUDUMS__V1__SEGMENT__INIT, b;
	Audums__V1__Label *const *got;
	Audums__V1__FieldChange **fields;
	ProtobufCMessage *copy;
	size_t n;

	label.key = "tier";
	a.name = "registri";
	a.provider = "lvrtc";
	a.sites = sites;
	a.n_sites = 2;
	a.labels = labels;
	a.n_labels = 1;
	copy = message_clone(&a.base);
	assert_true(message_equal(&a.base, copy));
	assert_int_equal(object_labels(copy, &got), 1);
	assert_string_equal(got[0]->key, "tier");
	/* what the controller sets is no difference */
	a.generation = 9;
	a.status = &status;
	status.vni = 77;
	assert_true(message_equal(&a.base, copy));
	assert_int_equal(object_diff(&a.base, copy, &fields, &n), 0);
	assert_int_equal(n, 0);
	assert_null(fields);
	b = a;
	b.sites = other_sites;
	b.mtu = 1400;
	b.n_labels = 0;
	assert_false(message_equal(&a.base, &b.base));
	assert_int_equal(object_diff(&a.base, &b.base, &fields, &n), 0);
	assert_int_equal(n, 3);
	assert_string_equal(fields[0]->path, "labels");
	assert_string_equal(fields[0]->before, "[{key: tier}]");
	assert_string_equal(fields[0]->after, "");
	assert_string_equal(fields[1]->path, "sites");
	assert_string_equal(fields[1]->before, "[lvrtc, lnb]");
	assert_string_equal(fields[1]->after, "[lnb, lvrtc]");
	assert_string_equal(fields[2]->path, "mtu");
	assert_string_equal(fields[2]->before, "");
	assert_string_equal(fields[2]->after, "1400");
	object_diff_free(fields, n);
	protobuf_c_message_free_unpacked(copy, NULL);
	copy = message_clone(&a.base);
	assert_non_null(((Audums__V1__Segment *)copy)->status);
	message_clear_output(copy);
	assert_null(((Audums__V1__Segment *)copy)->status);
	assert_int_equal(object_generation(copy), 0);
	assert_string_equal(object_name(copy), "registri");
	protobuf_c_message_free_unpacked(copy, NULL);
}

static void documents(void **state)
{
	Audums__V1__Document *d = malloc(sizeof(*d));
	ProtobufCMessage *const *objects;
	ProtobufCMessage *taken;

	audums__v1__document__init(d);
	for (int i = 0; i < 9; i++) {
		Audums__V1__Site *s = malloc(sizeof(*s));

		audums__v1__site__init(s);
		s->name = strdup((char[]){(char)('a' + i), '\0'});
		assert_int_equal(document_append(d, &s->base), 0);
	}
	assert_int_equal(document_count(d), 9);
	taken = document_take(d, AUDUMS__V1__KIND__KIND_SITE, 3);
	assert_string_equal(object_name(taken), "d");
	protobuf_c_message_free_unpacked(taken, NULL);
	assert_null(document_take(d, AUDUMS__V1__KIND__KIND_SITE, 8));
	assert_null(document_take(d, AUDUMS__V1__KIND__KIND_UNSPECIFIED, 0));
	assert_int_equal(document_objects(d, AUDUMS__V1__KIND__KIND_SITE, &objects), 8);
	assert_string_equal(object_name(objects[3]), "e");
	assert_int_equal(document_objects(d, AUDUMS__V1__KIND__KIND_NODE, &objects), 0);
	assert_int_equal(document_append(d, &d->base), -EINVAL);
	audums__v1__document__free_unpacked(d, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(kinds),
		cmocka_unit_test(references_in_text),
		cmocka_unit_test(copies_and_differences),
		cmocka_unit_test(documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
