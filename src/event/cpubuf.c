/* SPDX-License-Identifier: MIT */
/* The buffers of a perf buffer's reader: one for each CPU, a perf event with memory for the records of programs that
 * run on that CPU.
 *
 * The kernel empties a map's slots when the open file that filled them is closed. So a reader opens the map anew, by
 * its id. Then closing it empties only its own slots, even if another reader has taken over the map. A process that may
 * not open maps by id shares the map's file, and has to empty the slots itself. */
#include "event/cpubuf.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>

#include "map/map.h"

void lbpf_cpubuf_release(struct lbpf_source *source, bool undo)
{
	struct lbpf_cpubuf *buf = (struct lbpf_cpubuf *)source;
	uint32_t slot = (uint32_t)source->cpu;
	bool here = buf->process == lbpf_process_number();

	/* After a fork, the other process shares the file, too. */
	if (undo && (buf->slots.shared || (buf->control && !here)))
		bpf_map_delete_elem(buf->slots.fd, &slot);
	if (buf->control && here)
		munmap(buf->control, (size_t)sysconf(_SC_PAGESIZE) + source->size);
	if (source->fd >= 0)
		close(source->fd);
	if (buf->last)
		close(buf->slots.fd);
}

/* The place of the lower bits of a 64-bit position. */
static _Atomic unsigned long *position(void *u64)
{
	size_t skip = sizeof(uint64_t) - sizeof(unsigned long);

	return (_Atomic unsigned long *)(void *)((char *)u64 + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ ? skip : 0));
}

static int event_open(uint32_t cpu, const struct lbpf_perfbuf_options *options)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_BPF_OUTPUT,
		.sample_period = options->sample_period,
		.sample_type = PERF_SAMPLE_RAW,
		.wakeup_events = options->wakeup_events ? options->wakeup_events : options->sample_period,
	};
	/* A buffer of changes wakes its reader when it is half full. */
	struct perf_event_attr changes = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(changes),
		.config = PERF_COUNT_SW_DUMMY,
		.sample_type = PERF_SAMPLE_TIME, /* behind each record */
		.sample_id_all = 1,
		.mmap = 1,
		.mmap2 = 1,
		.comm = 1,
		.comm_exec = 1,
		.task = 1,
	};

	if (options->changes)
		attr = changes;
	return (int)syscall(SYS_perf_event_open, &attr, -1, (int)cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

/* Opens a CPU's buffer in the reader's next free place. After a failure, everything is released again. Returns 0 or an
 * errno. */
static int cpubuf_open(struct lbpf_reader *r, const struct lbpf_cpubuf *model, uint32_t cpu,
		       const struct lbpf_perfbuf_options *options, struct lbpf_cpubuf_failure *failure)
{
	struct lbpf_cpubuf *buf = lbpf_reader_source(r, r->count);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	struct perf_event_mmap_page *control;
	int err;

	*buf = *model;
	buf->source.cpu = (int)cpu;
	*failure = (struct lbpf_cpubuf_failure){ "perf_event_open", cpu };
	buf->source.fd = event_open(cpu, options);
	if (buf->source.fd < 0)
		return errno;
	failure->what = "mmap";
	control = mmap(NULL, page + buf->source.size, PROT_READ | PROT_WRITE, MAP_SHARED, buf->source.fd, 0);
	if (control != MAP_FAILED) {
		buf->control = control;
		buf->process = lbpf_process_number();
		buf->source.data = (uint8_t *)control + page;
		buf->source.head = position(&control->data_head);
		buf->source.tail = position(&control->data_tail);
		failure->what = "update";
		if (bpf_map_update_elem(buf->slots.fd, &cpu, &buf->source.fd, BPF_ANY) == 0) {
			failure->what = "epoll_ctl";
			err = lbpf_reader_add(r);
			if (!err)
				return 0;
			lbpf_cpubuf_release(&buf->source, true);
			return err;
		}
	}
	err = errno;
	buf->slots.shared = false; /* the slot belongs to somebody else */
	lbpf_cpubuf_release(&buf->source, true);
	return err;
}

int lbpf_cpubufs_open(struct lbpf_reader *r, const struct lbpf_cpubuf *model, const struct lbpf_cpus *cpus,
		      const struct lbpf_perfbuf_options *options, struct lbpf_cpubuf_failure *failure)
{
	uint32_t before = r->count;
	int err = ENODEV;

	for (uint32_t i = 0; i < cpus->count; i++) {
		err = cpubuf_open(r, model, cpus->list[i], options, failure);
		if (err && !(err == ENODEV && !cpus->given))
			break;
		err = 0;
	}
	if (!err && r->count == before)
		err = ENODEV;
	if (!err) {
		failure->what = "fd";
		err = lbpf_reader_added(r);
	}
	if (!err) {
		((struct lbpf_cpubuf *)lbpf_reader_source(r, r->count - 1))->last = true;
		return 0;
	}
	while (r->count > before)
		lbpf_cpubuf_release(lbpf_reader_source(r, --r->count), true);
	close(model->slots.fd);
	return err;
}

struct lbpf_slots lbpf_slots_open(const struct lbpf_map *map)
{
	struct lbpf_slots slots = { .shared = (map->flags & BPF_F_PRESERVE_ELEMS) != 0 };
	struct bpf_map_info info = { 0 };
	uint32_t len = sizeof(info);

	slots.fd = bpf_obj_get_info_by_fd(map->fd, &info, &len) ? -1 : bpf_map_get_fd_by_id(info.id);
	if (slots.fd < 0) {
		slots.fd = fcntl(map->fd, F_DUPFD_CLOEXEC, 0);
		slots.shared = true;
	}
	return slots;
}
