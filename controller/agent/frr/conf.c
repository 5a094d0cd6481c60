/* Sets of configuration items; see conf.h. */
#include "controller/agent/frr/conf.h"

#include <errno.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void item_clear(struct conf_item *i)
{
	free(i->key);
	free(i->context);
	free(i->apply);
	free(i->undo);
	free(i->fix);
	memset(i, 0, sizeof(*i));
}

void conf_clear(struct conf *c)
{
	for (size_t i = 0; i < c->count; i++)
		item_clear(&c->items[i]);
	free(c->items);
	memset(c, 0, sizeof(*c));
}

/* Where the key is, or belongs; *found says which. */
static size_t position(const struct conf *c, enum conf_order order, const char *key, bool *found)
{
	size_t lo = 0, hi = c->count;

	*found = false;
	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const struct conf_item *it = &c->items[mid];
		const int d =
			it->order != order ? (int)it->order - (int)order : strcmp(it->key, key);

		if (d == 0) {
			*found = true;
			return mid;
		}
		if (d < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct conf_item *conf_find(const struct conf *c, enum conf_order order, const char *key)
{
	bool found;
	const size_t at = position(c, order, key, &found);

	return found ? &c->items[at] : NULL;
}

int conf_put(struct conf *c, enum conf_order order, bool in_place, const char *key,
	const char *context, const char *apply, const char *undo)
{
	struct conf_item item = {.order = order,
		.in_place = in_place,
		.key = strdup(key),
		.context = strdup(context),
		.apply = strdup(apply),
		.undo = strdup(undo)};

	bool found;
	size_t at;

	if (!item.key || !item.context || !item.apply || !item.undo)
		goto fail;
	at = position(c, order, key, &found);
	if (found) {
		item_clear(&c->items[at]);
		c->items[at] = item;
		return 0;
	}
	if (c->count == c->capacity) {
		const size_t capacity = c->capacity ? 2 * c->capacity : 16;
		struct conf_item *grown = realloc(c->items, capacity * sizeof(*grown));

		if (!grown)
			goto fail;
		c->items = grown;
		c->capacity = capacity;
	}
	memmove(&c->items[at + 1], &c->items[at], (c->count - at) * sizeof(*c->items));
	c->items[at] = item;
	c->count++;
	return 0;
fail:
	item_clear(&item);
	return -ENOMEM;
}

void conf_remove(struct conf *c, struct conf_item *item)
{
	const size_t at = (size_t)(item - c->items);

	item_clear(item);
	memmove(item, item + 1, (c->count - at - 1) * sizeof(*item));
	c->count--;
}

bool conf_item_equal(const struct conf_item *a, const struct conf_item *b)
{
	return strcmp(a->context, b->context) == 0 && strcmp(a->apply, b->apply) == 0;
}

int conf_save(const struct conf *c, const char *path, const char *instance)
{
	char tmp[PATH_MAX];
	json_t *root, *items = json_array();
	int err = 0;

	if (snprintf(tmp, sizeof(tmp), "%s.new", path) >= (int)sizeof(tmp)) {
		json_decref(items);
		return -ENAMETOOLONG;
	}
	for (size_t i = 0; i < c->count && !err; i++) {
		const struct conf_item *it = &c->items[i];
		json_t *o = json_pack("{s:i,s:s,s:s,s:s,s:s,s:b,s:b}", "order", (int)it->order,
			"key", it->key, "context", it->context, "apply", it->apply, "undo",
			it->undo, "in_place", (int)it->in_place, "sure", (int)it->sure);

		if (!o || json_array_append_new(items, o) < 0)
			err = -ENOMEM;
	}
	root = json_pack("{s:s,s:o}", "instance", instance, "items", items);
	if (!root)
		err = -ENOMEM;
	if (!err && (json_dump_file(root, tmp, JSON_COMPACT) < 0 || rename(tmp, path) < 0)) {
		err = errno ? -errno : -EIO;
		unlink(tmp);
	}
	json_decref(root);
	return err;
}

int conf_load(struct conf *c, const char *path, const char *instance)
{
	const char *was = NULL;
	json_t *root, *items = NULL, *o;
	size_t i;
	int err = 0;

	conf_clear(c);
	root = json_load_file(path, 0, NULL);
	if (!root)
		return 0;
	if (!instance[0] || json_unpack(root, "{s:s,s:o}", "instance", &was, "items", &items) < 0 ||
		strcmp(was, instance) != 0 || !json_is_array(items))
		goto out;
	json_array_foreach (items, i, o) {
		const char *key, *context, *apply, *undo;
		int order, in_place, sure;

		if (json_unpack(o, "{s:i,s:s,s:s,s:s,s:s,s:b,s:b}", "order", &order, "key", &key,
			    "context", &context, "apply", &apply, "undo", &undo, "in_place",
			    &in_place, "sure", &sure) < 0 ||
			order < CONF_POLICY || order > CONF_PEER) {
			conf_clear(c);
			goto out;
		}
		err = conf_put(c, (enum conf_order)order, in_place, key, context, apply, undo);
		if (err) {
			conf_clear(c);
			goto out;
		}
		conf_find(c, (enum conf_order)order, key)->sure = sure;
	}
out:
	json_decref(root);
	return err;
}
