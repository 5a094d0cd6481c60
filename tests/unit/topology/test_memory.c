/*
 * Memory that runs out: every allocation of our own code in turn fails once, while an intent is
 * loaded, printed, merged and checked. Each time the answer is -ENOMEM (or all went well without
 * it), nothing is half done, and nothing leaks (which the sanitised build sees).
 *
 * The linker's --wrap brings the allocations of the libraries under test through here.
 */
#include "tests/unit/topology/intent.h"

#include <errno.h>

#include "proto/lib/frame.h"
#include "proto/lib/pbtext.h"
#include "proto/lib/schema.h"
#include "topology/check.h"

static size_t countdown; /* the allocation that fails; 0 = none does */
static size_t n_allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__wrap_strdup(const char *s);

static bool fails(void)
{
	n_allocations++;
	return countdown > 0 && --countdown == 0;
}

void *__wrap_malloc(size_t size)
{
	return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
	return fails() ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t size)
{
	return fails() ? NULL : __real_realloc(p, size);
}

char *__wrap_strdup(const char *s)
{
	return fails() ? NULL : __real_strdup(s);
}

/* Run `work` with each allocation failing; it returns what its subject returned. */
static void exhaust(int (*work)(void), int otherwise)
{
	size_t total;

	n_allocations = 0;
	countdown = 0;
	assert_int_equal(work(), otherwise);
	total = n_allocations;
	assert_true(total > 0);
	/* all of the first ones, then some: what comes later repeats for object after object */
	for (size_t n = 1; n <= total; n += n < 400 ? 1 : 13) {
		int err;

		countdown = n;
		err = work();
		countdown = 0;
		if (err != -ENOMEM && err != otherwise)
			fail_msg("allocation %zu of %zu: got %d", n, total, err);
	}
}

static int load_text(const char *yaml)
{
	struct topology t;
	struct problems p;
	int err;

	problems_init(&p);
	err = topology_load_text("t.yaml", yaml, strlen(yaml), TOPOLOGY_STANDALONE, &t, &p);
	topology_free(&t);
	problems_free(&p);
	return err;
}

static int load_good(void)
{
	return load_text(intent_yaml);
}

static int load_bad(void)
{
	return load_text("sites:\n- {nmae: a, provider: x, labels: [{key: K}, 3], generation: 1}\n"
			 "attachments:\n- {platform: cisco, vlan: x, port: p1, node: n}\n");
}

static int load_json(void)
{
	static const char json[] = "{\"sites\":[{\"name\":\"a\",\"labels\":[{\"key\":\"k\"}]}],"
				   "\"links\":[{\"a\":{\"node\":\"x\"}}]}";
	ProtobufCMessage *m;
	struct problems p;
	int err;

	problems_init(&p);
	err = pbtext_parse_json(
		&audums__v1__document__descriptor, &m, "t.json", json, strlen(json), &p);
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
	problems_free(&p);
	return err;
}

static Audums__V1__Document *base, *change;

static int print(void)
{
	char *text;
	int err;

	for (int format = PBTEXT_YAML; format <= PBTEXT_JSON_PRETTY; format++) {
		err = pbtext_print(&base->base, (enum pbtext_format)format, &text, NULL);
		if (err < 0)
			return err;
		free(text);
	}
	return 0;
}

static int merge_and_check(void)
{
	struct model *model = NULL;
	struct problems p;
	struct merge m;
	int err;

	problems_init(&p);
	err = model_merge(base, change, &m);
	if (err < 0)
		return err;
	model = model_create(m.document);
	err = model != NULL ? check_model(model, change, &p) : -ENOMEM;
	if (err >= 0) {
		Audums__V1__Problems *message = problems_message(&p);

		if (message != NULL)
			audums__v1__problems__free_unpacked(message, NULL);
		else
			err = -ENOMEM;
	}
	model_destroy(model);
	model_merge_free(&m);
	problems_free(&p);
	return err;
}

static int remove_and_check(void)
{
	Audums__V1__ObjectRef ref = AUDUMS__V1__OBJECT_REF__INIT, *refs[] = {&ref};
	struct model *model = model_create(base);
	struct problems p;
	struct merge m;
	int err;

	if (model == NULL)
		return -ENOMEM;
	ref.kind = AUDUMS__V1__KIND__KIND_SEGMENT;
	ref.name = "reg";
	problems_init(&p);
	err = check_delete(model, refs, 1, false, &p);
	if (err >= 0) {
		const int found = err;

		err = model_remove(base, refs, 1, &m);
		if (err == 0) {
			model_merge_free(&m);
			err = found;
		}
	}
	model_destroy(model);
	problems_free(&p);
	return err;
}

static int encode(void)
{
	struct frame_decoder d;
	struct frame frame;
	uint8_t *buf;
	ssize_t took;
	size_t len;
	int err;

	err = frame_encode(&base->base, FRAME_MAX_BYTES, &buf, &len);
	if (err < 0)
		return err;
	frame_decoder_init(&d, FRAME_MAX_BYTES);
	took = frame_decoder_feed(&d, buf, len, &frame);
	err = took < 0 ? (int)took : 0;
	frame_decoder_free(&d);
	free(buf);
	return err;
}

static void loading(void **state)
{
	exhaust(load_good, 0);
	exhaust(load_bad, -EINVAL);
	exhaust(load_json, 0);
}

static void printing(void **state)
{
	exhaust(print, 0);
	exhaust(encode, 0);
}

static void changing(void **state)
{
	exhaust(merge_and_check, 2);
	exhaust(remove_and_check, 1);
}

static int setup(void **state)
{
	base = intent_load(intent_yaml, TOPOLOGY_STANDALONE);
	change =
		intent_load("segments:\n"
			    "- {name: reg, provider: pa, tenant: vid, sites: [sa, sb], mtu: 9000}\n"
			    "- {name: new, provider: pa, tenant: nobody, sites: [sa]}\n",
			0);
	return schema_init(); /* once and for all: its failure would stay */
}

static int teardown(void **state)
{
	audums__v1__document__free_unpacked(base, NULL);
	audums__v1__document__free_unpacked(change, NULL);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loading),
		cmocka_unit_test(printing),
		cmocka_unit_test(changing),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
