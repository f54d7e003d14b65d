// SPDX-License-Identifier: MIT
// The benchmarks' loops as C programs over libbpf have them: prints what one operation takes, in nanoseconds of this
// process's CPU time. bench.lua makes the maps and passes their ids.
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#define BATCH 256

struct map {
	int fd;
	struct bpf_map_info info;
	uint64_t buf[256 * 8]; // a value of every CPU
};

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "loops: %s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static double cpu_time(void)
{
	return now(CLOCK_PROCESS_CPUTIME_ID);
}

static struct map *open_map(const char *id)
{
	static struct map map;
	uint32_t len = sizeof(map.info);

	map.fd = bpf_map_get_fd_by_id((uint32_t)atoi(id));
	if (map.fd < 0 || bpf_obj_get_info_by_fd(map.fd, &map.info, &len))
		fail("map");
	if (map.info.value_size > sizeof(map.buf))
		fail("value size");
	return &map;
}

// ID ROUNDS KEYS: looks every key up
static double lookup(char **args)
{
	struct map *map = open_map(args[0]);
	uint32_t rounds = (uint32_t)atoi(args[1]), keys = (uint32_t)atoi(args[2]);
	double start = cpu_time();

	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t k = 0; k < keys; k++)
			if (bpf_map_lookup_elem(map->fd, &k, map->buf))
				fail("lookup");
	return (cpu_time() - start) / rounds / keys;
}

// ID ROUNDS KEYS: looks every key up and adds the CPUs' values
static double sum(char **args)
{
	struct map *map = open_map(args[0]);
	uint32_t rounds = (uint32_t)atoi(args[1]), keys = (uint32_t)atoi(args[2]);
	int cpus = libbpf_num_possible_cpus();
	volatile uint64_t result;
	double start = cpu_time();

	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t k = 0; k < keys; k++) {
			uint64_t total = 0;

			if (bpf_map_lookup_elem(map->fd, &k, map->buf))
				fail("lookup");
			for (int i = 0; i < cpus; i++)
				total += map->buf[i];
			result = total;
		}
	(void)result;
	return (cpu_time() - start) / rounds / keys;
}

// ID ROUNDS KEYS: stores a value under every key
static double update(char **args)
{
	struct map *map = open_map(args[0]);
	uint32_t rounds = (uint32_t)atoi(args[1]), keys = (uint32_t)atoi(args[2]);
	double start = cpu_time();

	for (uint32_t r = 0; r < rounds; r++)
		for (uint32_t k = 0; k < keys; k++) {
			map->buf[0] = k;
			if (bpf_map_update_elem(map->fd, &k, map->buf, BPF_ANY))
				fail("update");
		}
	return (cpu_time() - start) / rounds / keys;
}

// ID ROUNDS KEYS: deletes every key; filling the map again isn't counted
static double delete (char **args)
{
	struct map *map = open_map(args[0]);
	uint32_t rounds = (uint32_t)atoi(args[1]), keys = (uint32_t)atoi(args[2]);
	double total = 0;

	for (uint32_t r = 0; r < rounds; r++) {
		double start;

		for (uint32_t k = 0; k < keys; k++)
			if (bpf_map_update_elem(map->fd, &k, map->buf, BPF_ANY))
				fail("update");
		start = cpu_time();
		for (uint32_t k = 0; k < keys; k++)
			if (bpf_map_delete_elem(map->fd, &k))
				fail("delete");
		total += cpu_time() - start;
	}
	return total / rounds / keys;
}

// ID: walks from key to key and looks each up
static double step(char **args)
{
	struct map *map = open_map(args[0]);
	uint32_t key, next, n = 0;
	void *last = NULL;
	double start = cpu_time();

	for (; bpf_map_get_next_key(map->fd, last, &next) == 0; n++) {
		key = next;
		last = &key;
		if (bpf_map_lookup_elem(map->fd, &key, map->buf))
			fail("lookup");
	}
	return (cpu_time() - start) / n;
}

// ID: walks in batches and adds up keys and values
static double batch(char **args)
{
	static uint32_t keys[BATCH];
	static uint64_t values[BATCH];
	struct map *map = open_map(args[0]);
	uint32_t in = 0, out = 0, n = 0;
	volatile uint64_t result;
	uint64_t total = 0;
	double start = cpu_time();
	int err;

	do {
		uint32_t count = BATCH;

		err = bpf_map_lookup_batch(map->fd, n ? &in : NULL, &out, keys, values, &count, NULL) ? errno : 0;
		if (err && err != ENOENT)
			fail("lookup_batch");
		for (uint32_t i = 0; i < count; i++)
			total += keys[i] + values[i];
		n += count;
		in = out;
	} while (!err);
	result = total;
	(void)result;
	return (cpu_time() - start) / n;
}

// ID: walks in batches over a per-CPU map and adds up keys and values
static double sums(char **args)
{
	static uint32_t keys[BATCH];
	struct map *map = open_map(args[0]);
	uint32_t in = 0, out = 0, n = 0, cpus = (uint32_t)libbpf_num_possible_cpus();
	uint64_t *values = calloc(BATCH * cpus, sizeof(*values)), total = 0;
	volatile uint64_t result;
	double start = cpu_time();
	int err;

	do {
		uint32_t count = BATCH;

		err = bpf_map_lookup_batch(map->fd, n ? &in : NULL, &out, keys, values, &count, NULL) ? errno : 0;
		if (err && err != ENOENT)
			fail("lookup_batch");
		for (uint32_t i = 0; i < count; i++) {
			total += keys[i];
			for (uint32_t cpu = 0; cpu < cpus; cpu++)
				total += values[i * cpus + cpu];
		}
		n += count;
		in = out;
	} while (!err);
	result = total;
	(void)result;
	free(values);
	return (cpu_time() - start) / n;
}

// ID: walks in batches over structs and adds up keys and one of the members
static double records(char **args)
{
	struct record {
		uint32_t id;
		uint64_t count;
		char name[16];
		uint64_t slots[4];
	};
	static uint32_t keys[BATCH];
	static struct record values[BATCH];
	struct map *map = open_map(args[0]);
	uint32_t in = 0, out = 0, n = 0;
	volatile uint64_t result;
	uint64_t total = 0;
	double start = cpu_time();
	int err;

	do {
		uint32_t count = BATCH;

		err = bpf_map_lookup_batch(map->fd, n ? &in : NULL, &out, keys, values, &count, NULL) ? errno : 0;
		if (err && err != ENOENT)
			fail("lookup_batch");
		for (uint32_t i = 0; i < count; i++)
			total += keys[i] + values[i].count;
		n += count;
		in = out;
	} while (!err);
	result = total;
	(void)result;
	return (cpu_time() - start) / n;
}

// ID: walks in batches and writes a line of text for each entry, whose key is an IPv4 address
static double text(char **args)
{
	static uint8_t keys[BATCH][4];
	static uint64_t values[BATCH];
	struct map *map = open_map(args[0]);
	FILE *file = fopen("/dev/null", "w");
	uint32_t in = 0, out = 0, n = 0;
	double start = cpu_time();
	int err;

	if (!file || setvbuf(file, NULL, _IOFBF, 32 * 1024))
		fail("/dev/null");
	do {
		uint32_t count = BATCH;

		err = bpf_map_lookup_batch(map->fd, n ? &in : NULL, &out, keys, values, &count, NULL) ? errno : 0;
		if (err && err != ENOENT)
			fail("lookup_batch");
		for (uint32_t i = 0; i < count; i++)
			fprintf(file, "bench_calls_total{address=\"%d.%d.%d.%d\"} %llu\n", keys[i][0], keys[i][1],
				keys[i][2], keys[i][3], (unsigned long long)values[i]);
		n += count;
		in = out;
	} while (!err);
	fclose(file);
	return (cpu_time() - start) / n;
}

struct batch {
	uint32_t keys[BATCH];
	uint64_t values[BATCH];
};

// Takes every entry out in batches and adds keys and values up; returns how many there were
static uint32_t take_all(const struct map *map, struct batch *b, uint64_t *total)
{
	uint32_t in = 0, out = 0, n = 0, count;
	int err;

	do {
		count = BATCH;
		err = bpf_map_lookup_and_delete_batch(map->fd, n ? &in : NULL, &out, b->keys, b->values, &count, NULL)
			? errno
			: 0;
		if (err && err != ENOENT)
			fail("lookup_and_delete_batch");
		for (uint32_t i = 0; i < count; i++)
			*total += b->keys[i] + b->values[i];
		n += count;
		in = out;
	} while (!err);
	return n;
}

static void store_all(const struct map *map, struct batch *b)
{
	for (uint32_t k = 0; k < map->info.max_entries;) {
		uint32_t n = 0;

		for (; n < BATCH && k < map->info.max_entries; n++, k++) {
			b->keys[n] = k;
			b->values[n] = k;
		}
		if (bpf_map_update_batch(map->fd, b->keys, b->values, &n, NULL))
			fail("update_batch");
	}
}

// ID: fills the map in batches, once it has been emptied
static double load(char **args)
{
	static struct batch b;
	struct map *map = open_map(args[0]);
	uint64_t total = 0;
	double start;

	take_all(map, &b, &total);
	start = cpu_time();
	store_all(map, &b);
	return (cpu_time() - start) / map->info.max_entries;
}

// ID: takes everything out of the map in batches, once it has been filled; and fills it again
static double drain(char **args)
{
	static struct batch b;
	struct map *map = open_map(args[0]);
	volatile uint64_t result;
	uint64_t total = 0;
	double start, time;
	uint32_t n;

	store_all(map, &b);
	start = cpu_time();
	n = take_all(map, &b, &total);
	time = cpu_time() - start;
	result = total;
	(void)result;
	store_all(map, &b);
	return time / n;
}

// ID OFFSET COUNT: reads, or writes, a variable in an object's mapped section
static double variable(char **args, int set)
{
	struct map *map = open_map(args[0]);
	uint32_t offset = (uint32_t)atoi(args[1]), count = (uint32_t)atoi(args[2]);
	char *mem = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, map->fd, 0);
	volatile uint64_t *p = (volatile uint64_t *)(void *)(mem + offset);
	double start;

	if (mem == MAP_FAILED)
		fail("mmap");
	start = cpu_time();
	for (uint32_t i = 0; i < count; i++)
		if (set)
			*p = i;
		else
			(void)*p;
	return (cpu_time() - start) / count;
}

static double get(char **args)
{
	return variable(args, 0);
}

static double set(char **args)
{
	return variable(args, 1);
}

struct event {
	uint64_t ts;
	uint32_t pid, size;
	char comm[48];
};

static int on_event(void *ctx, void *data, size_t len)
{
	struct event e;

	(void)len;
	memcpy(&e, data, sizeof(e));
	*(uint64_t *)ctx += e.size;
	return 0;
}

// OBJECT ROUNDS COUNT: reads events; sending them isn't counted
static double ring(char **args)
{
	struct bpf_object *obj = bpf_object__open_file(args[0], NULL);
	uint32_t rounds = (uint32_t)atoi(args[1]);
	struct {
		uint32_t count, pad;
	} request = { .count = (uint32_t)atoi(args[2]) };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &request, .ctx_size_in = sizeof(request));
	struct ring_buffer *rb;
	uint64_t total = 0;
	double time = 0;
	int fd, n = 0;

	if (!obj || bpf_object__load(obj))
		fail("load");
	fd = bpf_program__fd(bpf_object__find_program_by_name(obj, "send"));
	rb = ring_buffer__new(bpf_object__find_map_fd_by_name(obj, "events"), on_event, &total, NULL);
	if (!rb)
		fail("ring_buffer__new");
	for (uint32_t r = 0; r < rounds; r++) {
		double start;

		if (bpf_prog_test_run_opts(fd, &opts))
			fail("run");
		start = cpu_time();
		n += ring_buffer__consume(rb);
		time += cpu_time() - start;
	}
	ring_buffer__free(rb);
	bpf_object__close(obj);
	return time / n;
}

static void on_sample(void *ctx, int cpu, void *data, __u32 len)
{
	(void)cpu;
	on_event(ctx, data, len);
}

// OBJECT ROUNDS COUNT: reads events from a perf buffer; sending them isn't counted
static double perf(char **args)
{
	struct bpf_object *obj = bpf_object__open_file(args[0], NULL);
	uint32_t rounds = (uint32_t)atoi(args[1]);
	uint64_t request[2] = { (uint64_t)atoi(args[2]) }, total = 0;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = request, .ctx_size_in = sizeof(request));
	struct perf_buffer *pb;
	double time = 0;
	int fd;

	if (!obj || bpf_object__load(obj))
		fail("load");
	fd = bpf_program__fd(bpf_object__find_program_by_name(obj, "send_samples"));
	pb = perf_buffer__new(bpf_object__find_map_fd_by_name(obj, "samples"), 256, on_sample, NULL, &total, NULL);
	if (!pb)
		fail("perf_buffer__new");
	for (uint32_t r = 0; r < rounds; r++) {
		double start;

		if (bpf_prog_test_run_opts(fd, &opts))
			fail("run");
		start = cpu_time();
		if (perf_buffer__consume(pb))
			fail("perf_buffer__consume");
		time += cpu_time() - start;
	}
	perf_buffer__free(pb);
	bpf_object__close(obj);
	return time / rounds / (double)request[0];
}

// Makes one map, and prints nothing: it is a command for start_up
static double create(char **args)
{
	(void)args;
	if (bpf_map_create(BPF_MAP_TYPE_HASH, "one", 4, 8, 1, NULL) < 0)
		fail("create");
	exit(0);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

// TIMES COMMAND...: the median of what the command takes, on the clock at the wall
static double start_up(char **args)
{
	int times = atoi(args[0]), status;
	double *took = calloc((size_t)times, sizeof(*took)), median;

	for (int i = 0; i < times; i++) {
		double start = now(CLOCK_MONOTONIC);
		pid_t pid = vfork();

		if (pid == 0) {
			execvp(args[1], args + 1);
			_exit(127);
		}
		if (waitpid(pid, &status, 0) != pid || status)
			fail("command");
		took[i] = now(CLOCK_MONOTONIC) - start;
	}
	qsort(took, (size_t)times, sizeof(*took), by_value);
	median = took[times / 2];
	free(took);
	return median;
}

static const struct {
	const char *name;
	int args;
	double (*run)(char **args);
} loops[] = {
	{ "lookup", 3, lookup }, { "sum", 3, sum },	  { "update", 3, update },   { "delete", 3, delete },
	{ "step", 1, step },	 { "batch", 1, batch },	  { "records", 1, records }, { "sums", 1, sums },
	{ "load", 1, load },	 { "drain", 1, drain },	  { "get", 3, get },	     { "set", 3, set },
	{ "ring", 3, ring },	 { "create", 0, create }, { "start", 2, start_up },  { "perf", 3, perf },
	{ "text", 1, text },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(loops) / sizeof(*loops); i++)
		if (strcmp(argv[1], loops[i].name) == 0 && argc - 2 >= loops[i].args) {
			printf("%.3f\n", loops[i].run(argv + 2));
			return 0;
		}
	fprintf(stderr, "Usage: loops LOOP ARGUMENT...; see bench.lua and metrics.lua\n");
	return 2;
}
