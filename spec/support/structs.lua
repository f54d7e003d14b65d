-- SPDX-License-Identifier: MIT
-- Random structs and unions in C, of all that decides about a layout. The same seed gives the same ones everywhere.
local structs = {}

local SCALARS <const> = {
  "char", "signed char", "unsigned char", "short", "unsigned short", "int", "unsigned int", "long", "unsigned long",
  "long long", "_Bool", "float", "double", "__int128", "void *", "struct elsewhere *",
  "int (*%s)(struct elsewhere *, char)", "int (*%s[3])(void)", "char (*%s)[5]", "wide", "narrow", "pair",
}

-- Of each integer type that can have bit-fields, its width.
local FIELDS <const> = {
  { "char", 8 }, { "unsigned char", 8 }, { "short", 16 }, { "unsigned short", 16 }, { "int", 32 },
  { "unsigned int", 32 }, { "long", 64 }, { "unsigned long long", 64 }, { "_Bool", 1 }, { "enum small", 8 },
  { "enum plain", 32 },
}

-- One with a mode has a negative value: without, it is signed for clang since 15 and unsigned for others.
structs.PREAMBLE = [[
enum small { S_ONE = 1, S_LAST = 200 } __attribute__((packed));
enum low { L_LOW = -3, L_HIGH = 4 } __attribute__((packed));
enum middle { M_ONE = 1, M_LAST = 60000 } __attribute__((packed));
enum forced { F_LOW = -1, F_ONE = 1 } __attribute__((mode(HI)));
enum plain { P_ZERO, P_LAST = 0x7fffffff };
enum negative { N_LOW = -1, N_ONE = 1 };
enum large { G_ONE = 1, G_LAST = 0x123456789 };
enum doubled { D_ONE = 1 } __attribute__((mode(DI)));
typedef int wide __attribute__((aligned(16)));
typedef long narrow __attribute__((aligned(2)));
typedef struct { char c; short s; } pair;
]]

local ENUMS <const> = { "small", "low", "middle", "forced", "plain", "negative", "large", "doubled" }
local ALIGNS <const> = { 1, 2, 4, 8, 16, 64 }

-- A generator of numbers.
local function numbers(seed)
  return function(n) -- 0 to n - 1
    seed = seed * 6364136223846793005 + 1442695040888963407
    return (seed >> 33) % n
  end
end

-- Makes the members of a struct: out counts them, earlier names structs that are defined already.
local body

local function attributes(random)
  local list = {}
  if random(3) == 0 then
    list[#list + 1] = "packed"
  end
  if random(6) == 0 then
    list[#list + 1] = ("aligned(%d)"):format(ALIGNS[random(#ALIGNS) + 1])
  end
  return #list > 0 and (" __attribute__((%s))"):format(table.concat(list, ", ")) or ""
end

local function member(random, out, depth, earlier)
  local name = "m" .. out.names
  out.names = out.names + 1
  local choice = random(24)
  if choice < 8 then
    local type = SCALARS[random(#SCALARS) + 1]
    local text = type:find "%%s" and type:format(name) or type .. " " .. name
    if not type:find "%%s" and random(5) == 0 and type ~= "wide" then
      text = text .. ("[%d]"):format(random(4)) .. (random(3) == 0 and "[2]" or "")
    end
    if random(8) == 0 then
      text = text .. (" __attribute__((aligned(%d)))"):format(ALIGNS[random(#ALIGNS) + 1])
    elseif random(8) == 0 then
      text = text .. " __attribute__((packed))"
    end
    return text .. ";"
  elseif choice < 15 then
    local field = FIELDS[random(#FIELDS) + 1]
    return ("%s %s : %d;"):format(field[1], name, 1 + random(field[2]))
  elseif choice == 15 then
    return ("long : %d;"):format(1 + random(64))
  elseif choice == 16 then
    return ("%s : 0;"):format(({ "char", "short", "int", "long" })[1 + random(4)])
  elseif choice < 19 then
    return ("enum %s %s;"):format(ENUMS[random(#ENUMS) + 1], name)
  elseif choice < 21 and depth < 3 then
    local kind = random(3) == 0 and "union" or "struct"
    return ("%s {%s}%s%s;"):format(kind, body(random, out, depth + 1, earlier), attributes(random),
      random(2) == 0 and " " .. name .. (random(3) == 0 and "[2]" or "") or "")
  elseif #earlier > 0 and choice < 23 then
    return ("%s %s%s;"):format(earlier[random(#earlier) + 1], name, random(3) == 0 and "[3]" or "")
  elseif #earlier > 0 and depth == 0 and not out.tagged then
    out.tagged = true -- a second one might have members of the same names
    return ("%s;"):format(out.tags[random(#out.tags) + 1])
  end
  return ("int %s;"):format(name)
end

function body(random, out, depth, earlier)
  local list = { "" }
  for i = 1, 1 + random(depth == 0 and 9 or 4) do
    list[i + 1] = ("  "):rep(depth + 1) .. member(random, out, depth, earlier)
  end
  list[#list + 1] = ("  "):rep(depth)
  return table.concat(list, "\n")
end

-- Returns the text of n structs and unions, and what they are called.
function structs.make(n, seed)
  local random, text, names = numbers(seed), { structs.PREAMBLE }, {}
  local tags, parts = {}, {} -- parts: those that later ones are made of; few, as each makes larger ones
  for i = 1, 5 do
    tags[i] = ("struct tag%d"):format(i)
    text[#text + 1] = ("struct tag%d { char t%d_a; %s t%d_b; }%s;\n"):format(i, i, SCALARS[i * 2], i,
      i > 3 and " __attribute__((packed))" or "")
  end
  for i = 1, n do
    names[i] = (random(6) == 0 and "union u%d" or "struct s%d"):format(i)
    local members = body(random, { names = 0, tags = tags }, 0, parts)
    text[#text + 1] = ("%s {%s}%s;\n"):format(names[i], members, attributes(random))
    if random(4) == 0 then
      parts[#parts + 1] = names[i]
    end
  end
  return table.concat(text), names
end

return structs
