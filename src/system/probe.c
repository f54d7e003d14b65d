/* SPDX-License-Identifier: MIT */
/* What this kernel supports for this process: map types, program types and helpers, each found by trying.
 *
 * libbpf tries map and program types. It answers no if the kernel returned EPERM, but errno still has the EPERM then.
 * We try helpers ourselves. libbpf 1.1 takes some messages of newer kernels for a yes, and answers yes to everything
 * without permission. */
#include "system/probe.h"

#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "base/cause.h"
#include "base/log.h"
#include "base/spare.h"
#include "map/kinds.h"
#include "program/kinds.h"

#define DESCRIPTORS 4 /* that a trial may have open */
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The verdict for the result of a probe of libbpf, and the errno that the kernel left. */
static struct lbpf_verdict verdict_of(int result, int err)
{
	if (result > 0)
		return (struct lbpf_verdict){ .has = LBPF_YES };
	if (result == 0 && lbpf_spare_is_short(err))
		return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = err };
	if (result == 0)
		return (struct lbpf_verdict){ .has = LBPF_NO, .err = err ? err : EINVAL };
	if (lbpf_probe_is_refusal(-result))
		return (struct lbpf_verdict){ .has = LBPF_NO, .err = -result };
	return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = -result };
}

/* Whether a map can be created of a type that this libbpf can't try. */
static int try_arena(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create((enum bpf_map_type)LBPF_MAP_TYPE_ARENA, NULL, 0, 0, 1, &opts);

	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

struct lbpf_verdict lbpf_probe_map(lua_State *L, uint32_t type, uint32_t unused)
{
	int result, err = lbpf_spare(L, DESCRIPTORS);
	struct lbpf_log *log;

	(void)unused;
	if (err)
		return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = err };
	log = lbpf_log_begin(L);
	errno = 0;
	result = libbpf_probe_bpf_map_type((enum bpf_map_type)type, NULL);
	if (result == -EOPNOTSUPP && type == LBPF_MAP_TYPE_ARENA)
		result = try_arena();
	err = errno;
	lbpf_log_end(log);
	return verdict_of(result, err);
}

/* Loads a program that calls a helper, or none if it is 0, and then returns. Returns 0 or an errno, and the verifier's
 * log. */
static int load(uint32_t type, uint32_t helper, char *text, uint32_t room)
{
	struct bpf_insn insns[] = {
		{ .code = BPF_JMP | BPF_CALL, .imm = (int32_t)helper },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 1 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .log_buf = text, .log_size = room, .log_level = 1);
	const struct lbpf_progkind *kind = lbpf_progkind_of(type);
	size_t skip = helper ? 0 : 1;
	int fd;

	*text = '\0';
	if (kind) {
		opts.expected_attach_type = (enum bpf_attach_type)kind->attach;
		opts.prog_flags = kind->flags;
	}
	fd = bpf_prog_load((enum bpf_prog_type)type, NULL, "GPL", insns + skip, COUNT(insns) - skip, &opts);
	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

struct lbpf_verdict lbpf_probe_prog(lua_State *L, uint32_t type, uint32_t unused)
{
	int result, err = lbpf_spare(L, DESCRIPTORS);
	struct lbpf_log *log;
	char text[1024];

	(void)unused;
	if (err)
		return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = err };
	log = lbpf_log_begin(L);
	errno = 0;
	result = libbpf_probe_bpf_prog_type((enum bpf_prog_type)type, NULL);
	err = errno;
	if (result == -EOPNOTSUPP && type == LBPF_PROG_TYPE_NETFILTER) {
		err = load(type, 0, text, sizeof(text));
		result = err == 0;
	}
	lbpf_log_end(log);
	return verdict_of(result, err);
}

/* The verifier checks first whether the helper may be called, so any other complaint means that it may. */
struct lbpf_verdict lbpf_probe_helper(lua_State *L, uint32_t id, uint32_t type)
{
	static const char *const refusals[][2] = {
		{ "invalid func ", "this kernel doesn't have it" },
		{ "program of this type cannot use helper ", "programs of this type can't call it" },
		{ "unknown func ", "programs of this type can't call it" }, /* of older kernels */
		{ "helper call is not allowed in probe", "this kernel doesn't allow it" },
	};
	struct lbpf_verdict no = { .has = LBPF_NO };
	struct lbpf_log *log;
	bool complained;
	char text[8192];
	size_t len;

	if (type == BPF_PROG_TYPE_TRACING || type == BPF_PROG_TYPE_EXT || type == BPF_PROG_TYPE_LSM ||
	    type == BPF_PROG_TYPE_STRUCT_OPS)
		return (struct lbpf_verdict){ LBPF_UNSURE, EOPNOTSUPP,
					      "for programs of this type it depends on what they attach to" };
	no.err = lbpf_spare(L, DESCRIPTORS);
	if (no.err)
		return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = no.err };
	log = lbpf_log_begin(L);
	no.err = load(type, id, text, sizeof(text));
	lbpf_log_end(log);
	if (lbpf_spare_is_short(no.err))
		return (struct lbpf_verdict){ .has = LBPF_UNSURE, .err = no.err };
	complained = lbpf_verifier_complaint(text, &len) != NULL;
	for (size_t i = 0; i < COUNT(refusals) && !no.cause; i++)
		if (strstr(text, refusals[i][0]))
			no.cause = refusals[i][1];
	if (!no.err || (!no.cause && complained))
		return (struct lbpf_verdict){ .has = LBPF_YES };
	if (!no.cause && !lbpf_probe_is_refusal(no.err))
		no.cause = "this kernel has no programs of this type";
	return no;
}
