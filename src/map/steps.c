/* SPDX-License-Identifier: MIT */
/* Walking by steps from key to key.
 *
 * The kernel starts over from the first key when the one to go on from has been deleted. The steps notice that by the
 * keys they have met, go back to the last one that is still there, and forward from there over those they have met. And
 * the kernel passes over keys when the ones beside them change at that very moment; so in the end each key that was met
 * is asked once more what follows it. */
#include "map/steps.h"

#include <errno.h>
#include <string.h>

#include <bpf/bpf.h>

#include "map/map.h"

/* How often the steps begin anew, and calls for each entry that a map can have. */
#define MOST_ROUNDS 4
#define MOST_CALLS 64

/* A storage doesn't say how many entries it can have. */
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

/* Goes on behind the last key of the trail that is still there, over those that were seen, which join the trail: so
 * keys that went and came back are passed, not taken for the end. A key is gone when the first one of all follows it;
 * it leaves the trail, and a walk that deletes as it goes stays linear. */
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

/* Looks for a key that nobody has seen behind those that were, which the ones found here join. The one that it stands
 * behind is asked again: the loop may delete what it gets. */
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
		if (s->checking) { /* begins anew, and passes what it has seen */
			s->again = false;
			s->seen.trail_count = 0;
		}
		s->checking = !s->checking;
	}
	if (!err)
		lbpf_seen_add(L, idx, slot, &s->seen, key, map->key_size);
	return err;
}
