/* SPDX-License-Identifier: MIT */
/* Functions, inlined functions and lines, from DWARF.
 *
 * libdw finds the unit of an address by .debug_aranges, which many compilers don't write, and the function by walking
 * through the unit each time. So the ranges of all units are sorted once, and those of a unit's functions when an
 * address is first in that unit. The file may be hostile: a walk ends after a number of steps that no real unit needs.
 */
#include "dwfl.h"

#include <stdlib.h>
#include <string.h>

#include <dwarf.h>

#define STEPS 4000000 /* of one walk through a unit */
#define DEPTH 64      /* of namespaces and classes, and of blocks in a function */
#define NESTED 16     /* how far back an enclosing range may be */

struct range {
	Dwarf_Addr from, to;
	size_t index; /* of the unit or function */
};

struct ranges {
	struct range *list; /* sorted by address */
	size_t count, room;
};

/* The functions of a unit that have code. */
struct functions {
	struct ranges ranges;
	Dwarf_Die *dies;
	size_t count, room;
};

struct unit {
	Dwarf_Die die;
	struct functions *functions; /* NULL until an address is looked for in them */
};

struct lbpf_units {
	Dwarf_Addr bias; /* an address of the module minus that in the debugging information */
	struct ranges ranges;
	struct unit *units;
	size_t count, room;
};

/* ---- sorted ranges ---- */

/* Returns the array with room for one more element: at the same or another place; NULL, and the array stays, if memory
 * ran out. */
static void *reserve(void *array, size_t *room, size_t count, size_t width)
{
	size_t wanted = *room ? *room * 2 : 16;
	void *grown;

	if (array && count < *room)
		return array;
	grown = reallocarray(array, wanted, width);
	if (grown)
		*room = wanted;
	return grown;
}

static bool ranges_push(struct ranges *ranges, struct range range)
{
	struct range *list = reserve(ranges->list, &ranges->room, ranges->count, sizeof(*list));

	if (!list)
		return false;
	list[ranges->count++] = range;
	ranges->list = list;
	return true;
}

/* Adds the ranges of a unit or function. */
static void ranges_add(struct ranges *ranges, Dwarf_Die *die, size_t index)
{
	Dwarf_Addr base, from, to;
	ptrdiff_t at = 0;

	for (int i = 0; i < STEPS && (at = dwarf_ranges(die, at, &base, &from, &to)) > 0; i++)
		if (from && from < to && !ranges_push(ranges, (struct range){ from, to, index }))
			return;
}

static int compare(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return x->to > y->to ? -1 : x->to < y->to; /* the smallest last */
}

static const struct range *ranges_find(const struct ranges *ranges, Dwarf_Addr address)
{
	size_t low = 0, high = ranges->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges->list[middle].from <= address)
			low = middle + 1;
		else
			high = middle;
	}
	for (size_t back = 0; back < NESTED && back < low; back++)
		if (ranges->list[low - 1 - back].to > address)
			return &ranges->list[low - 1 - back];
	return NULL;
}

/* ---- units and their functions ---- */

static bool has_functions(int tag)
{
	return tag == DW_TAG_namespace || tag == DW_TAG_module || tag == DW_TAG_class_type ||
		tag == DW_TAG_structure_type || tag == DW_TAG_union_type || tag == DW_TAG_enumeration_type;
}

static void add_function(struct functions *functions, Dwarf_Die *die)
{
	Dwarf_Die *dies = reserve(functions->dies, &functions->room, functions->count, sizeof(*dies));
	size_t before = functions->ranges.count;

	if (!dies)
		return;
	functions->dies = dies;
	ranges_add(&functions->ranges, die, functions->count);
	if (functions->ranges.count > before)
		dies[functions->count++] = *die;
}

/* Adds the functions below an entry. Functions that are nested in others are not looked for. */
static void walk(struct functions *functions, Dwarf_Die *parent, int depth, int *steps)
{
	Dwarf_Die die;

	if (depth == DEPTH || dwarf_child(parent, &die) != 0)
		return;
	do {
		int tag = dwarf_tag(&die);

		if (has_functions(tag))
			walk(functions, &die, depth + 1, steps);
		else if (tag == DW_TAG_subprogram)
			add_function(functions, &die);
	} while ((*steps)-- > 0 && dwarf_siblingof(&die, &die) == 0);
}

/* Returns NULL if memory ran out. */
static struct functions *functions_new(Dwarf_Die *unit)
{
	struct functions *functions = calloc(1, sizeof(*functions));
	int steps = STEPS;

	if (!functions)
		return NULL;
	walk(functions, unit, 0, &steps);
	if (functions->ranges.count)
		qsort(functions->ranges.list, functions->ranges.count, sizeof(*functions->ranges.list), compare);
	return functions;
}

static void functions_free(struct functions *functions)
{
	if (!functions)
		return;
	free(functions->ranges.list);
	free(functions->dies);
	free(functions);
}

struct lbpf_units *lbpf_units_new(Dwfl_Module *module)
{
	Dwarf_Addr bias;
	Dwarf *dwarf = dwfl_module_getdwarf(module, &bias);
	struct lbpf_units *units = dwarf ? calloc(1, sizeof(*units)) : NULL;
	Dwarf_Off at = 0, next;
	size_t header;

	if (!units)
		return NULL;
	units->bias = bias;
	while (dwarf_nextcu(dwarf, at, &next, &header, NULL, NULL, NULL) == 0 && next > at) {
		struct unit unit = { 0 }, *list = reserve(units->units, &units->room, units->count, sizeof(*list));

		if (!list)
			break;
		units->units = list;
		if (dwarf_offdie(dwarf, at + header, &unit.die) && dwarf_tag(&unit.die) == DW_TAG_compile_unit) {
			ranges_add(&units->ranges, &unit.die, units->count);
			list[units->count++] = unit;
		}
		at = next;
	}
	if (units->ranges.count)
		qsort(units->ranges.list, units->ranges.count, sizeof(*units->ranges.list), compare);
	return units;
}

void lbpf_units_free(struct lbpf_units *units)
{
	if (!units)
		return;
	for (size_t i = 0; i < units->count; i++)
		functions_free(units->units[i].functions);
	free(units->units);
	free(units->ranges.list);
	free(units);
}

/* ---- frames ---- */

/* Finds the inlined function or block at an address, one level below. */
static bool descend(Dwarf_Die *parent, Dwarf_Addr address, Dwarf_Die *die, int *steps)
{
	if (dwarf_child(parent, die) != 0)
		return false;
	do {
		int tag = dwarf_tag(die);

		if ((tag == DW_TAG_inlined_subroutine || tag == DW_TAG_lexical_block || tag == DW_TAG_try_block ||
		     tag == DW_TAG_catch_block) &&
		    dwarf_haspc(die, address) == 1)
			return true;
	} while ((*steps)-- > 0 && dwarf_siblingof(die, die) == 0);
	return false;
}

static const char *name_of(Dwarf_Die *die)
{
	Dwarf_Attribute attribute;
	const char *name = NULL;

	if (dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute) ||
	    dwarf_attr_integrate(die, DW_AT_MIPS_linkage_name, &attribute))
		name = dwarf_formstring(&attribute);
	return name ? name : dwarf_diename(die);
}

static int number_of(Dwarf_Die *die, unsigned int which)
{
	Dwarf_Attribute attribute;
	Dwarf_Word value;

	if (!dwarf_attr(die, which, &attribute) || dwarf_formudata(&attribute, &value) != 0 || value > INT32_MAX)
		return 0;
	return (int)value;
}

/* Where an address's own line is. */
static void set_line(struct lbpf_frame *frame, Dwarf_Die *unit, Dwarf_Addr address)
{
	Dwarf_Line *line = dwarf_getsrc_die(unit, address);

	if (line && dwarf_lineno(line, &frame->line) == 0)
		frame->file = dwarf_linesrc(line, NULL, NULL);
}

/* Where an inlined function was called. */
static void set_call(struct lbpf_frame *frame, Dwarf_Die *unit, Dwarf_Die *inlined)
{
	Dwarf_Files *files;
	size_t count;
	int file = number_of(inlined, DW_AT_call_file);

	frame->line = number_of(inlined, DW_AT_call_line);
	if (dwarf_getsrcfiles(unit, &files, &count) == 0 && (size_t)file < count)
		frame->file = dwarf_filesrc(files, (size_t)file, NULL, NULL);
}

size_t lbpf_units_find(struct lbpf_units *units, uint64_t address, struct lbpf_frame *frames, uint64_t *from)
{
	Dwarf_Die chain[LBPF_FRAMES], die;
	Dwarf_Addr place = address - units->bias;
	const struct range *range = ranges_find(&units->ranges, place);
	struct unit *unit = range ? &units->units[range->index] : NULL;
	size_t count = 1;
	int steps = STEPS;

	if (!unit)
		return 0;
	if (!unit->functions)
		unit->functions = functions_new(&unit->die);
	if (!unit->functions || !unit->functions->dies)
		return 0;
	range = ranges_find(&unit->functions->ranges, place);
	if (!range)
		return 0;
	*from = range->from + units->bias;
	die = chain[0] = unit->functions->dies[range->index];
	for (int depth = 0; depth < DEPTH && count < LBPF_FRAMES; depth++) {
		Dwarf_Die inner;

		if (!descend(&die, place, &inner, &steps))
			break;
		if (dwarf_tag(&inner) == DW_TAG_inlined_subroutine)
			chain[count++] = inner;
		die = inner;
	}
	for (size_t i = 0; i < count; i++) {
		frames[i] = (struct lbpf_frame){ .name = name_of(&chain[count - 1 - i]) };
		if (i == 0)
			set_line(&frames[i], &unit->die, place);
		else
			set_call(&frames[i], &unit->die, &chain[count - i]);
	}
	return count;
}
