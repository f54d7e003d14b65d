// SPDX-License-Identifier: MIT
// Global variables of every type and in every kind of section, and programs that read and write them.
#include <linux/bpf.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

enum colour { RED, GREEN = 5, BLUE };
enum shift { LEFT = -1, NONE, RIGHT };

struct point {
	__s32 x;
	__s32 y;
};

struct shape {
	char name[8];
	enum colour colour;
	bool filled;
	struct point corner[3];
	__u32 low : 4;
	__u32 high : 12;
	union {
		__u64 area;
		__u32 half[2];
	};
};

/* .data */
__u8 u8 = 0x81;
__s8 s8 = -0x7f;
__u16 u16 = 0x8001;
__s16 s16 = -0x7fff;
__u32 u32 = 0x80000001;
__s32 s32 = -0x7fffffff;
__u64 u64 = 0x8000000000000001;
__s64 s64 = -0x7fffffffffffffff;
bool flag = true;
float single = 0.5;
double twice = -2.25;
char text[8] = "seven";
char brimful[4] = { 'f', 'o', 'u', 'r' };
unsigned char bytes[4] = { 0, 1, 2, 255 };
enum colour colour = BLUE;
enum shift shift = LEFT;
__u32 numbers[4] = { 1, 2, 3, 4 };
__u16 grid[2][3] = { { 1, 2, 3 }, { 4, 5, 6 } };
struct shape shape = { .name = "square", .colour = GREEN, .filled = true, .corner = { { 1, 2 } }, .low = 15 };
void *pointer = (void *)0;
static volatile __u32 hidden = 7;
__u32 a_name_of_more_than_forty_characters_which_lua_does_not_intern = 40;
__u32 a_name_of_more_than_forty_characters_which_lua_does_not_intern_either = 41;

/* .bss */
__u64 total;
struct point last;
static volatile __u32 runs;

/* .rodata */
const volatile __u32 factor = 3;
const volatile char label[16] = "default";
const volatile struct point origin = { 1, -1 };

/* sections of one's own */
__u32 own_data SEC(".data.own") = 11;
__u32 own_bss SEC(".bss.own");
const volatile __u32 own_rodata SEC(".rodata.own") = 13;
static volatile __u32 lonely SEC(".data.lonely") = 17;
static volatile __u32 company SEC(".data.lonely") = 19;

/* Adds to everything that it may write. */
SEC("raw_tp")
int change(void *ctx)
{
	u8++;
	s8--;
	u16++;
	s16--;
	u32++;
	s32--;
	u64++;
	s64--;
	flag = !flag;
	text[0] = 'S';
	bytes[3]--;
	colour = RED;
	shift = RIGHT;
	numbers[3] += factor;
	grid[1][2] = 60;
	shape.name[0]++;
	shape.corner[2].y = -9;
	shape.high = 4095;
	shape.area = 1ULL << 32;
	pointer = (void *)0xdead;
	hidden++;
	a_name_of_more_than_forty_characters_which_lua_does_not_intern++;
	a_name_of_more_than_forty_characters_which_lua_does_not_intern_either += 2;
	total += factor;
	last.x = origin.x;
	last.y = origin.y;
	runs++;
	own_data++;
	own_bss += own_rodata;
	lonely++;
	return 0;
}

/* Tells what the program finds in its variables. */
SEC("raw_tp")
int check(void *ctx)
{
	total = (__u64)u8 + u16 + u32 + u64 + (__u64)(s8 + s16 + s32) + (__u64)s64 + own_data + own_bss + hidden +
		company;
	last.x = shape.corner[1].x;
	last.y = flag ? numbers[2] : 0;
	return lonely + (text[0] << 8) + (label[0] << 16);
}

char LICENSE[] SEC("license") = "GPL";
