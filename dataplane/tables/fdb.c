/*
 * The FDB: buckets of seven entries over two cache lines, with short overflow chains.
 *
 * Invariants: entries never move. A removed entry's slot, and an overflow bucket taken out of its
 * chain, wait in `waiting` until a grace period has passed before they are used again; so what a
 * reader found by key belongs to that key. A bucket is complete before it is linked, a destination
 * is written before its key. One writer: the main thread.
 */
#include "dataplane/tables/fdb.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#include <rte_common.h>
#include <rte_prefetch.h>
#include <rte_vect.h>

#include "dataplane/tables/mem.h"

#define SLOTS        7
#define ALL_USED     0x7f
#define WHOLE_BUCKET 0xff /* in waiting.slot */
#define CHAIN_MAX    8    /* overflow buckets behind one home bucket */
#define MIN_BITS     4
#define MAX_CAPACITY (1u << 24)
#define CHUNK        64

__extension__ typedef unsigned __int128 uint128_t;

struct bucket {
	uint64_t keys[SLOTS]; /* 0 = free, or removed and waiting */
	uint32_t next;        /* bucket index, 0 = end of the chain */
	uint8_t used;         /* bitmap: slots not to be filled */
	uint32_t dest[SLOTS];
	uint32_t seen[SLOTS];
	uint32_t home; /* of an overflow bucket */
} __rte_cache_aligned;

_Static_assert(sizeof(struct bucket) == 128, "two cache lines");

struct waiting {
	uint64_t token;
	uint32_t bucket;
	uint32_t slot;
};

struct fdb {
	struct bucket *buckets; /* 2^bits home buckets, then overflow buckets */
	uint64_t seed[2];
	unsigned int shift;
	uint32_t n_home;
	uint32_t n_buckets;
	uint32_t free_bucket;  /* chain of free overflow buckets, 0 = none */
	uint32_t fresh_bucket; /* from here on never used */
	struct rcu *rcu;
	struct waiting *waiting; /* a ring */
	uint32_t wait_size;
	uint32_t wait_head;
	uint32_t wait_n;
	uint32_t entries;
	uint32_t capacity;
	uint64_t full;
	uint64_t chain;
};

struct fdb *fdb_create(struct rcu *rcu, uint32_t capacity)
{
	unsigned int bits = MIN_BITS;
	struct fdb *fdb;

	if (capacity == 0 || capacity > MAX_CAPACITY) {
		errno = EINVAL;
		return NULL;
	}
	fdb = calloc(1, sizeof(*fdb));
	if (!fdb)
		return NULL;
	while (((uint64_t)4 << bits) < capacity)
		bits++;
	if (getrandom(fdb->seed, sizeof(fdb->seed), GRND_NONBLOCK) != sizeof(fdb->seed)) {
		fdb->seed[0] = UINT64_C(0x9e3779b97f4a7c15);
		fdb->seed[1] = UINT64_C(0xd1b54a32d192ed03);
	}
	fdb->seed[1] |= 1;
	fdb->shift = 64 - bits;
	fdb->n_home = (uint32_t)1 << bits;
	fdb->n_buckets = fdb->n_home + fdb->n_home / 4 + 16;
	fdb->fresh_bucket = fdb->n_home;
	fdb->wait_size = fdb->n_buckets * (SLOTS + 1);
	fdb->rcu = rcu;
	fdb->capacity = capacity;
	fdb->buckets = mem_map((size_t)fdb->n_buckets * sizeof(struct bucket), true);
	fdb->waiting = mem_map((size_t)fdb->wait_size * sizeof(struct waiting), false);
	if (!fdb->buckets || !fdb->waiting) {
		fdb_destroy(fdb);
		errno = ENOMEM;
		return NULL;
	}
	return fdb;
}

void fdb_destroy(struct fdb *fdb)
{
	if (!fdb)
		return;
	mem_unmap(fdb->buckets, (size_t)fdb->n_buckets * sizeof(struct bucket));
	mem_unmap(fdb->waiting, (size_t)fdb->wait_size * sizeof(struct waiting));
	free(fdb);
}

static inline uint32_t fdb_home(const struct fdb *fdb, uint64_t key)
{
	/* The product's halves folded and mixed once more: MACs are often counted up, in steps of
	 * one or 256, which one round lays on few buckets for some seeds. */
	const uint128_t p = (uint128_t)(key ^ fdb->seed[0]) * fdb->seed[1];
	const uint64_t h = (uint64_t)p ^ (uint64_t)(p >> 64);

	return (uint32_t)((h * UINT64_C(0x9e3779b97f4a7c15)) >> fdb->shift);
}

/* Slot of the key in a bucket, or SLOTS. */
#ifdef __SSE4_1__
/* Four compares instead of seven branches; an aligned load of two words is atomic for each word. */
static inline unsigned int bucket_slot(const struct bucket *b, uint64_t key)
{
	const __m128i *at = (const __m128i *)(const void *)b->keys,
		      k = _mm_set1_epi64x((int64_t)key);
	const __m128i m0 = _mm_cmpeq_epi64(_mm_load_si128(at), k);
	const __m128i m1 = _mm_cmpeq_epi64(_mm_load_si128(at + 1), k);
	const __m128i m2 = _mm_cmpeq_epi64(_mm_load_si128(at + 2), k);
	const __m128i m3 = _mm_cmpeq_epi64(_mm_load_si128(at + 3), k);
	const __m128i low = _mm_packs_epi32(m0, m1), high = _mm_packs_epi32(m2, m3);
	/* two bits a slot; the eighth word is no key */
	unsigned int hit = (unsigned int)_mm_movemask_epi8(_mm_packs_epi16(low, high)) & 0x3fff;

	__atomic_signal_fence(__ATOMIC_ACQUIRE); /* x86 keeps the order of loads */
	return (unsigned int)__builtin_ctz(hit | 1u << (2 * SLOTS)) / 2;
}
#else
static inline unsigned int bucket_slot(const struct bucket *b, uint64_t key)
{
	unsigned int slot = 0;

	while (slot < SLOTS && __atomic_load_n(&b->keys[slot], __ATOMIC_RELAXED) != key)
		slot++;
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	return slot;
}
#endif

/* Bucket with the key, and its slot; NULL if none has it. */
static inline struct bucket *chain_find(
	const struct fdb *fdb, uint32_t home, uint64_t key, unsigned int *slot)
{
	uint32_t at = home;

	do {
		struct bucket *b = &fdb->buckets[at];
		unsigned int at_slot = bucket_slot(b, key);

		if (likely(at_slot < SLOTS)) {
			*slot = at_slot;
			return b;
		}
		at = __atomic_load_n(&b->next, __ATOMIC_ACQUIRE);
	} while (at != 0);
	return NULL;
}

static inline void homes_prefetch(
	const struct fdb *fdb, const uint64_t keys[], unsigned int n, uint32_t homes[])
{
	for (unsigned int i = 0; i < n; i++) {
		homes[i] = fdb_home(fdb, keys[i]);
		rte_prefetch0(&fdb->buckets[homes[i]].keys);
		rte_prefetch0(&fdb->buckets[homes[i]].dest);
	}
}

void fdb_lookup_bulk(
	const struct fdb *fdb, const uint64_t keys[], unsigned int n, uint32_t results[])
{
	uint32_t homes[CHUNK];

	for (unsigned int from = 0; from < n; from += CHUNK) {
		unsigned int len = RTE_MIN(n - from, (unsigned int)CHUNK);

		homes_prefetch(fdb, &keys[from], len, homes);
		for (unsigned int i = 0; i < len; i++) {
			unsigned int slot = 0;
			const struct bucket *b = chain_find(fdb, homes[i], keys[from + i], &slot);

			results[from + i] =
				b ? __atomic_load_n(&b->dest[slot], __ATOMIC_RELAXED) : FDB_MISS;
		}
	}
}

/* The destination of a source MAC; its stamp is renewed if that is as expected. */
static inline uint32_t source_check(
	struct fdb *fdb, uint32_t home, uint64_t key, uint32_t expect, uint32_t now)
{
	unsigned int slot = 0;
	struct bucket *b = chain_find(fdb, home, key, &slot);
	uint32_t dest;

	if (unlikely(b == NULL))
		return FDB_MISS;
	dest = __atomic_load_n(&b->dest[slot], __ATOMIC_RELAXED);
	if (likely(dest == expect) &&
		unlikely(__atomic_load_n(&b->seen[slot], __ATOMIC_RELAXED) != now))
		__atomic_store_n(&b->seen[slot], now, __ATOMIC_RELAXED);
	return dest;
}

void fdb_switch_bulk(struct fdb *fdb, const uint64_t src[], const uint32_t expect[],
	const uint64_t dst[], unsigned int n, uint32_t now, uint32_t from[], uint32_t to[])
{
	uint32_t homes_src[CHUNK], homes_dst[CHUNK];

	for (unsigned int at = 0; at < n; at += CHUNK) {
		const unsigned int len = RTE_MIN(n - at, (unsigned int)CHUNK);

		homes_prefetch(fdb, &src[at], len, homes_src);
		homes_prefetch(fdb, &dst[at], len, homes_dst);
		for (unsigned int i = 0; i < len; i++) {
			unsigned int slot = 0;
			const struct bucket *b;

			from[at + i] =
				source_check(fdb, homes_src[i], src[at + i], expect[at + i], now);
			b = chain_find(fdb, homes_dst[i], dst[at + i], &slot);
			to[at + i] =
				b ? __atomic_load_n(&b->dest[slot], __ATOMIC_RELAXED) : FDB_MISS;
		}
	}
}

bool fdb_find(const struct fdb *fdb, uint64_t key, struct fdb_entry *entry)
{
	unsigned int slot = 0;
	const struct bucket *b;

	if (fdb_key_bd(key) == 0)
		return false;
	b = chain_find(fdb, fdb_home(fdb, key), key, &slot);
	if (!b)
		return false;
	if (entry) {
		entry->key = key;
		entry->dest = b->dest[slot];
		entry->seen = __atomic_load_n(&b->seen[slot], __ATOMIC_RELAXED);
	}
	return true;
}

static void wait_push(struct fdb *fdb, uint32_t bucket, uint32_t slot)
{
	uint32_t at = fdb->wait_head + fdb->wait_n;

	/* Every slot and every overflow bucket waits at most once, so the ring can't overflow. */
	if (at >= fdb->wait_size)
		at -= fdb->wait_size;
	fdb->waiting[at] = (struct waiting){rcu_start(fdb->rcu), bucket, slot};
	fdb->wait_n++;
}

/* Take an empty overflow bucket out of its chain. Readers on it still find the way on. */
static void bucket_unlink(struct fdb *fdb, uint32_t index)
{
	struct bucket *b = &fdb->buckets[index];
	uint32_t at = b->home;

	while (fdb->buckets[at].next != index)
		at = fdb->buckets[at].next;
	__atomic_store_n(&fdb->buckets[at].next, b->next, __ATOMIC_RELEASE);
	b->used = ALL_USED;
	wait_push(fdb, index, WHOLE_BUCKET);
}

void fdb_poll(struct fdb *fdb)
{
	while (fdb->wait_n > 0) {
		struct waiting *w = &fdb->waiting[fdb->wait_head];
		struct bucket *b = &fdb->buckets[w->bucket];

		if (!rcu_passed(fdb->rcu, w->token))
			return;
		if (++fdb->wait_head == fdb->wait_size)
			fdb->wait_head = 0;
		fdb->wait_n--;
		if (w->slot == WHOLE_BUCKET) {
			b->next = fdb->free_bucket;
			fdb->free_bucket = w->bucket;
			continue;
		}
		b->used = (uint8_t)(b->used & ~(1u << w->slot));
		if (b->used == 0 && w->bucket >= fdb->n_home)
			bucket_unlink(fdb, w->bucket);
	}
	fdb->wait_head = 0; /* touch no more of the ring than needed */
}

/* The bucket with a free slot for `home`, made if the chain may grow; UINT32_MAX = full. */
static uint32_t room_find(struct fdb *fdb, uint32_t home)
{
	uint32_t at = home, index;
	unsigned int len = 0;
	struct bucket *b;

	while (fdb->buckets[at].used == ALL_USED) {
		if (fdb->buckets[at].next == 0)
			break;
		at = fdb->buckets[at].next;
		len++;
	}
	if (fdb->buckets[at].used != ALL_USED)
		return at;
	if (len >= CHAIN_MAX)
		return UINT32_MAX;
	if (fdb->free_bucket != 0) {
		index = fdb->free_bucket;
		fdb->free_bucket = fdb->buckets[index].next;
	} else if (fdb->fresh_bucket < fdb->n_buckets) {
		index = fdb->fresh_bucket++;
	} else {
		return UINT32_MAX;
	}
	b = &fdb->buckets[index];
	b->used = 0;
	b->next = 0;
	b->home = home;
	__atomic_store_n(&fdb->buckets[at].next, index, __ATOMIC_RELEASE);
	return index;
}

int fdb_put(struct fdb *fdb, uint64_t key, uint32_t dest, uint32_t now)
{
	uint32_t home = fdb_home(fdb, key), at;
	unsigned int slot = 0;
	struct bucket *b;

	if (dest == FDB_MISS || fdb_key_bd(key) == 0)
		return -EINVAL;
	b = chain_find(fdb, home, key, &slot);
	if (b) {
		__atomic_store_n(&b->seen[slot], now, __ATOMIC_RELAXED);
		__atomic_store_n(&b->dest[slot], dest, __ATOMIC_RELEASE);
		return 0;
	}
	if (fdb->entries >= fdb->capacity) {
		fdb->full++;
		return -ENOSPC;
	}
	at = room_find(fdb, home);
	if (at == UINT32_MAX) {
		fdb_poll(fdb);
		at = room_find(fdb, home);
	}
	if (at == UINT32_MAX) {
		fdb->chain++;
		return -ENOSPC;
	}
	b = &fdb->buckets[at];
	slot = (unsigned int)__builtin_ctz(~(unsigned int)b->used);
	b->used = (uint8_t)(b->used | 1u << slot);
	__atomic_store_n(&b->dest[slot], dest, __ATOMIC_RELAXED);
	__atomic_store_n(&b->seen[slot], now, __ATOMIC_RELAXED);
	__atomic_store_n(&b->keys[slot], key, __ATOMIC_RELEASE);
	fdb->entries++;
	return 1;
}

int fdb_del(struct fdb *fdb, uint64_t key)
{
	unsigned int slot = 0;
	struct bucket *b;

	if (fdb_key_bd(key) == 0)
		return -ENOENT;
	b = chain_find(fdb, fdb_home(fdb, key), key, &slot);
	if (!b)
		return -ENOENT;
	__atomic_store_n(&b->keys[slot], 0, __ATOMIC_RELEASE);
	__atomic_store_n(&b->dest[slot], FDB_MISS, __ATOMIC_RELEASE);
	fdb->entries--;
	wait_push(fdb, (uint32_t)(b - fdb->buckets), slot);
	return 0;
}

bool fdb_walk(struct fdb *fdb, uint32_t *cursor, unsigned int max,
	bool (*fn)(void *ctx, const struct fdb_entry *entry), void *ctx)
{
	unsigned int visited = 0, looked = 0;

	/* Empty buckets count too, eight for one entry, so that a slice is bounded in a sparse
	 * table.
	 */
	for (; *cursor < fdb->n_home && visited + looked / 8 < max; (*cursor)++, looked++) {
		uint32_t at = *cursor;

		do {
			const struct bucket *b = &fdb->buckets[at];

			at = b->next;
			for (unsigned int i = 0; i < SLOTS; i++) {
				struct fdb_entry e = {b->keys[i], b->dest[i],
					__atomic_load_n(&b->seen[i], __ATOMIC_RELAXED)};

				if (e.key == 0)
					continue;
				visited++;
				if (!fn(ctx, &e))
					return true;
			}
		} while (at != 0);
	}
	return *cursor < fdb->n_home;
}

void fdb_stats_get(const struct fdb *fdb, struct fdb_stats *stats)
{
	*stats = (struct fdb_stats){
		.entries = fdb->entries,
		.capacity = fdb->capacity,
		.full = fdb->full,
		.chain = fdb->chain,
		.pending = fdb->wait_n,
	};
}
