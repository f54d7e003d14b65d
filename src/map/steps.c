/* SPDX-License-Identifier: MIT */
/* Iterating by steps from key to key.
 *
 * If the key to continue from has been deleted, the kernel starts over from the first key. The steps detect this,
 * because the kernel then returns a key that they have met before. They go back to the last key that still exists, and
 * from there forward over keys that they have met. The keys to go back along are the trail.
 *
 * The kernel may also skip entries if an entry next to them changes at that moment. So at the end the steps ask once
 * more which key follows each key that they have met. */
#include "map/steps.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "map/map.h"

/* How often the steps begin again, and how many calls they make for each entry that a map can have. */
#define MOST_ROUNDS 4
#define MOST_CALLS 64

/* Storages have no max_entries; 65,536 is assumed. */
static uint64_t most_calls(const struct lbpf_map *map)
{
	return MOST_CALLS * (uint64_t)(map->max_entries ? map->max_entries : 1 << 16) + 4096;
}

static int next_key(const struct lbpf_map *map, struct lbpf_steps *s, const void *key, void *next)
{
	if (s->calls++ >= most_calls(map))
		return EAGAIN;
	return bpf_map_get_next_key(map->fd, key, next) ? errno : 0;
}

/* Continues after the last key of the trail that still exists. Keys that follow it and were met before are skipped and
 * join the trail: they may have been deleted and inserted again, so meeting one doesn't mean the end.
 *
 * If the key that follows is the first key of the map, the key of the trail has been deleted, and is dropped from the
 * trail. So the time for deleting while iterating stays linear. */
static int step_forward(const struct lbpf_map *map, struct lbpf_steps *s, uint8_t *key, uint8_t *first)
{
	struct lbpf_seen *seen = &s->seen;

	for (;;) {
		uint32_t count = seen->trail_count, size = map->key_size, position;
		int err = next_key(map, s, count ? lbpf_seen_key(seen, seen->trail[count - 1], size) : NULL, key);

		if (err || !lbpf_seen_find(seen, key, size, &position)) {
			s->again = s->again || (!err && s->rounds);
			return err;
		}
		err = count ? next_key(map, s, NULL, first) : 0;
		if (err)
			return err;
		if (count && memcmp(key, first, size) == 0) {
			s->again = true;
			seen->trail_count--;
		} else {
			lbpf_seen_follow(seen, position);
		}
	}
}

/* Looks for a key that wasn't met yet, by asking what follows each key that was. A key that is found joins the keys to
 * ask about. The position isn't advanced then, so the same key is asked about again: the loop may delete the key that
 * it gets. */
static int step_check(const struct lbpf_map *map, struct lbpf_steps *s, uint8_t *key)
{
	uint32_t size = map->key_size, position;

	for (; s->checked <= s->seen.count; s->checked++) {
		bool first = s->checked == 0;
		int err =
			next_key(map, s, first ? NULL : lbpf_seen_key(&s->seen, (uint32_t)(s->checked - 1), size), key);

		if (err && (err != ENOENT || first))
			return err;
		if (!err && !lbpf_seen_find(&s->seen, key, size, &position)) {
			s->again = true;
			return 0;
		}
	}
	return ENOENT;
}

int lbpf_steps_next(lua_State *L, int idx, int slot, const struct lbpf_map *map, struct lbpf_steps *s, uint8_t *key,
		    uint8_t *other)
{
	int err;

	while ((err = s->checking ? step_check(map, s, key) : step_forward(map, s, key, other)) == ENOENT) {
		if (s->checking && (!s->again || s->rounds++ == MOST_ROUNDS))
			return ENOENT;
		if (s->checking) { /* begins again, and skips the keys that were met */
			s->again = false;
			s->seen.trail_count = 0;
		}
		s->checking = !s->checking;
	}
	if (!err)
		lbpf_seen_add(L, idx, slot, &s->seen, key, map->key_size);
	return err;
}
