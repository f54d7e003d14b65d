/* SPDX-License-Identifier: MIT */
/* Changes a map as fast as it can while somebody else walks it:
 *
 *	hammer <map id> <milliseconds> <threads> <churn keys> <stable keys>
 *
 * Each thread keeps inserting, overwriting and deleting churn keys, and overwrites stable keys, of which there may be
 * none. A key is a number n; churn and stable ones take turns, in blocks of 8. In 4 bytes it is n itself; in 8, for an
 * lpm_trie, it is the address n with 32 bits, or down to 24 where the bits beyond are zero. A value repeats n; in a
 * devmap_hash it is the loopback interface, in a hash_of_maps an array of one __u32. Prints "ready" once it has begun,
 * and at the end how many calls succeeded. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define MAX_THREADS 8
#define MAX_VALUE 4096

static int fd;
static struct bpf_map_info info;
static size_t value_bytes;
static uint32_t reference;     /* the value where not every number is one */
static uint32_t churn, stable; /* keys of each kind */
static struct timespec end;

static uint64_t rng(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static uint32_t pick(uint32_t count, uint64_t *state, uint32_t block)
{
	uint32_t i = (uint32_t)(rng(state) >> 16) % count;

	return i / 8 * 16 + i % 8 + block;
}

static void make_key(uint32_t n, uint32_t key[2])
{
	if (info.key_size == sizeof(n)) {
		key[0] = n;
		return;
	}
	key[0] = 32;
	while (n && key[0] > 24 && !(n & ((4U << (32 - key[0])) - 1)))
		key[0]--;
	key[1] = htonl(n);
}

static void make_value(uint32_t n, unsigned char *value)
{
	if (reference) {
		memcpy(value, &reference, sizeof(reference));
		return;
	}
	for (size_t i = 0; i + sizeof(n) <= value_bytes; i += sizeof(n))
		memcpy(value + i, &n, sizeof(n));
}

static int is_over(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > end.tv_sec || (now.tv_sec == end.tv_sec && now.tv_nsec >= end.tv_nsec);
}

/* One change; whether it succeeded. What is full, or gone already, is no matter. */
static int change(uint64_t *state, unsigned char *value)
{
	unsigned int what = (unsigned int)(rng(state) >> 32) % 8;
	uint32_t key[2], n = pick(churn, state, 8);

	if (what < 3) {
		make_key(n, key);
		return bpf_map_delete_elem(fd, key) == 0;
	}
	if (what == 3 && stable)
		n = pick(stable, state, 0);
	make_key(n, key);
	make_value(n, value);
	return bpf_map_update_elem(fd, key, value, BPF_ANY) == 0;
}

static void *hammer(void *arg)
{
	unsigned char value[MAX_VALUE] = { 0 };
	uint64_t *done = arg, state = 88172645463325252ULL ^ (uint64_t)(uintptr_t)arg;

	while (!is_over())
		for (int i = 0; i < 64; i++)
			*done += (uint64_t)change(&state, value);
	return NULL;
}

static int is_percpu(void)
{
	return info.type == BPF_MAP_TYPE_PERCPU_HASH || info.type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static int open_map(const char *id)
{
	uint32_t len = sizeof(info);
	int cpus = libbpf_num_possible_cpus();

	fd = bpf_map_get_fd_by_id((uint32_t)strtoul(id, NULL, 10));
	if (fd < 0 || cpus < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -1;
	value_bytes = is_percpu() ? (size_t)(info.value_size + 7) / 8 * 8 * (size_t)cpus : info.value_size;
	if (info.type == BPF_MAP_TYPE_DEVMAP_HASH)
		reference = 1;
	if (info.type == BPF_MAP_TYPE_HASH_OF_MAPS) {
		int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, sizeof(uint32_t), sizeof(uint32_t), 1, NULL);

		if (inner < 0)
			return -1;
		reference = (uint32_t)inner;
	}
	if (value_bytes > MAX_VALUE || (info.key_size != 4 && info.key_size != 8)) {
		errno = EINVAL;
		return -1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	pthread_t threads[MAX_THREADS];
	uint64_t done[MAX_THREADS] = { 0 }, sum = 0;
	unsigned long n[6] = { 0 };
	int count = 0;

	if (argc != 6) {
		fprintf(stderr, "usage: hammer ID MILLISECONDS THREADS CHURN_KEYS STABLE_KEYS\n");
		return 2;
	}
	for (int i = 2; i < argc; i++)
		n[i] = strtoul(argv[i], NULL, 10);
	churn = (uint32_t)n[4];
	stable = (uint32_t)n[5];
	if (n[3] < 1 || n[3] > MAX_THREADS || !churn || open_map(argv[1])) {
		fprintf(stderr, "hammer: map %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += (time_t)(n[2] / 1000);
	end.tv_nsec += (long)(n[2] % 1000) * 1000000;
	if (end.tv_nsec >= 1000000000) {
		end.tv_sec++;
		end.tv_nsec -= 1000000000;
	}
	while (count < (int)n[3] && !pthread_create(&threads[count], NULL, hammer, &done[count]))
		count++;
	printf("ready\n");
	fflush(stdout);
	for (int i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
		sum += done[i];
	}
	printf("%llu\n", (unsigned long long)sum);
	return count ? 0 : 1;
}
