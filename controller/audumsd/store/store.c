/*
 * What all back ends have in common: the limits and the checks of arguments, so that what passes on
 * one passes on every other.
 *
 * Called through store.h only.
 */
#include "controller/audumsd/store/store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Length of a valid key, or 0. */
static size_t key_len(const char *key)
{
	size_t n = 0;

	if (!key)
		return 0;
	for (; key[n]; n++)
		if (n == STORE_MAX_KEY || key[n] <= 0x20 || key[n] >= 0x7f)
			return 0;
	return n;
}

static int key_compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int txn_check(const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops)
{
	const char *keys[STORE_MAX_OPS];
	size_t bytes = 0;

	if (n_compares > STORE_MAX_OPS || n_ops > STORE_MAX_OPS)
		return -E2BIG;
	for (size_t i = 0; i < n_compares; i++) {
		size_t n = key_len(compares[i].key);

		if (!n || compares[i].mod_rev < 0)
			return -EINVAL;
		bytes += n;
	}
	for (size_t i = 0; i < n_ops; i++) {
		size_t n = key_len(ops[i].key);

		if (!n || (!ops[i].del && ops[i].len && !ops[i].value))
			return -EINVAL;
		if (!ops[i].del && ops[i].len > STORE_MAX_BYTES)
			return -E2BIG;
		bytes += n + (ops[i].del ? 0 : ops[i].len);
		keys[i] = ops[i].key;
	}
	if (bytes > STORE_MAX_BYTES)
		return -E2BIG;
	if (n_ops > 1) {
		qsort(keys, n_ops, sizeof(keys[0]), key_compare);
		for (size_t i = 1; i < n_ops; i++)
			if (!strcmp(keys[i - 1], keys[i]))
				return -EINVAL;
	}
	return 0;
}

void store_txn(struct store *store, const struct store_compare *compares, size_t n_compares,
	const struct store_op *ops, size_t n_ops, store_done_fn *done, void *arg)
{
	int ret = txn_check(compares, n_compares, ops, n_ops);

	if (ret < 0)
		done(arg, ret, 0);
	else
		store->ops->txn(store, compares, n_compares, ops, n_ops, done, arg);
}

void store_list(struct store *store, const char *prefix, store_each_fn *each, store_done_fn *done,
	void *arg)
{
	if (!key_len(prefix))
		done(arg, -EINVAL, 0);
	else
		store->ops->list(store, prefix, each, done, arg);
}

int store_watch(struct store *store, const char *prefix, int64_t from, store_watch_fn *event,
	void *arg, struct store_watch **watch)
{
	if (!key_len(prefix) || from < 0)
		return -EINVAL;
	return store->ops->watch(store, prefix, from, event, arg, watch);
}

void store_unwatch(struct store *store, struct store_watch *watch)
{
	if (watch)
		store->ops->unwatch(store, watch);
}

void store_compact(struct store *store, int64_t revision, store_done_fn *done, void *arg)
{
	if (revision < 0)
		done(arg, -EINVAL, 0);
	else
		store->ops->compact(store, revision, done, arg);
}

int store_fd(const struct store *store)
{
	return store->ops->fd(store);
}

int store_dispatch(struct store *store)
{
	return store->ops->dispatch(store);
}

bool store_broken(const struct store *store)
{
	return store->ops->broken(store);
}

void store_close(struct store *store)
{
	if (store)
		store->ops->close(store);
}

bool store_prefix_end(const char *prefix, char *end)
{
	size_t n = strlen(prefix);

	/* keys are below 0x7f, so the last byte can always be raised by one */
	if (!n || n > STORE_MAX_KEY)
		return false;
	memcpy(end, prefix, n + 1);
	end[n - 1]++;
	return true;
}
