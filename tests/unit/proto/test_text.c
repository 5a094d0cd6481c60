/* The small text helpers: growing texts, UTF-8, base64. */
#include "tests/unit/proto/test.h"

#include <errno.h>

#include "proto/lib/base64.h"
#include "proto/lib/strbuf.h"
#include "proto/lib/utf8.h"

static void strbuf_grows(void **state)
{
	struct strbuf b = STRBUF_INIT;
	char *text;
	size_t len;

	assert_string_equal(strbuf_text(&b), "");
	for (int i = 0; i < 1000; i++)
		strbuf_printf(&b, "%d,", i);
	assert_int_equal(b.len, 10 * 2 + 90 * 3 + 900 * 4);
	strbuf_cut(&b, 4);
	assert_string_equal(strbuf_text(&b), "0,1,");
	strbuf_cut(&b, 100);
	strbuf_add_repeat(&b, '-', 3);
	assert_int_equal(strbuf_take(&b, &text, &len), 0);
	assert_string_equal(text, "0,1,---");
	assert_int_equal(len, 7);
	free(text);
	assert_int_equal(strbuf_take(&b, &text, NULL), 0);
	assert_string_equal(text, "");
	free(text);
	strbuf_free(&b);
}

static void utf8_is_strict(void **state)
{
	static const struct {
		const char *text;
		size_t valid;
	} cases[] = {
		{"Iekšlietu ministrija", 21},
		{"\xf0\x9f\x98\x80", 4},
		{"a\xff", 1},
		{"a\xc0\x80", 1},     /* overlong NUL */
		{"a\xe0\x80\xaf", 1}, /* overlong slash */
		{"a\xed\xa0\x80", 1}, /* surrogate */
		{"a\xf4\x90\x80\x80", 1},
		{"a\xf8\x88", 1}, /* above U+10FFFF */
		{"a\xc4", 1},
		{"a\xc4"
		 "a",
			1}, /* cut off */
		{"\x80", 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_int_equal(utf8_valid(cases[i].text, strlen(cases[i].text)), cases[i].valid);
	assert_true(utf8_control(0x1b));
	assert_true(utf8_control(0x7f));
	assert_true(utf8_control(0x85));
	assert_false(utf8_control(0x20));
	assert_false(utf8_control(0x101));
}

static void base64_both_ways(void **state)
{
	/* RFC 4648 section 10 */
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};
	static const char *const bad[] = {
		"Zg=", "Zg", "Z===", "Zm9v!A==", "Zg==Zg==", "Z=g=", "===="};
	uint8_t *data;
	size_t len;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct strbuf b = STRBUF_INIT;

		base64_encode(&b, (const uint8_t *)pairs[i][0], strlen(pairs[i][0]));
		assert_string_equal(strbuf_text(&b), pairs[i][1]);
		strbuf_free(&b);
		assert_int_equal(base64_decode(pairs[i][1], strlen(pairs[i][1]), &data, &len), 0);
		assert_int_equal(len, strlen(pairs[i][0]));
		if (len > 0)
			assert_memory_equal(data, pairs[i][0], len);
		free(data);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(base64_decode(bad[i], strlen(bad[i]), &data, &len), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strbuf_grows),
		cmocka_unit_test(utf8_is_strict),
		cmocka_unit_test(base64_both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
