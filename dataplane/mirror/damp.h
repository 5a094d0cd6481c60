/*
 * MACs that flap are held where they are: after so many moves within so long (RFC 7432 section
 * 15.1: N = 5 in M = 180 s), a MAC may not move here again for a while. A loop, or one address at
 * two places, would else make every node of the segment write and advertise without end.
 *
 * Bounded: sets of four by a hash; the longest unmoved MAC of a set that is not held goes. The main
 * thread's, one a learn.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define DAMP_MOVES     5
#define DAMP_WINDOW_MS 180000
#define DAMP_HOLD_MS   180000
#define DAMP_SETS      512
#define DAMP_WAYS      4

struct damp_entry {
	uint64_t key;        /* 0 = free */
	uint64_t since_ms;   /* the window's begin */
	uint64_t last_ms;    /* the last move */
	uint64_t held_until; /* 0 = not held */
	uint32_t moves;
};

struct damp {
	uint32_t most; /* moves in a window; 0 = DAMP_MOVES */
	struct damp_entry sets[DAMP_SETS][DAMP_WAYS];
};

enum damp_result {
	DAMP_MAY_MOVE,
	DAMP_HELD_NOW, /* this move would be one too many: held from now on */
	DAMP_HELD,     /* is held */
};

/* The MAC `key` (fdb_key(), not 0) would move at now_ms: may it? A move that may is counted. */
enum damp_result damp_move(struct damp *d, uint64_t key, uint64_t now_ms);

/* How many MACs are held at now_ms. */
uint32_t damp_count(const struct damp *d, uint64_t now_ms);
